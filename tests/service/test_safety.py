from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from service import safety
from service.api.keys import create
from service.settings import Settings, SettingsError, load

RECORD = create("lab", ["inference"])[1].record()
ADMIN = create("ops", ["admin"])[1].record()


def keyed(record: str = RECORD) -> dict[str, Any]:
    return {"keys": SecretStr(record)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keyless_scopes": "admin", **keyed()}, "anybody could reload"),
        ({"keyless_scopes": "metrics"}, "there are no keys"),
        (keyed(ADMIN), "nobody could send a picture"),
        ({"allowed_origins": "*"}, "every web page"),
        ({"allowed_origins": "*", "keyless_scopes": "inference", **keyed()}, "every web page"),
        ({"trusted_proxies": "*", "rate_limit": 1}, "invent its address"),
        ({"trusted_proxies": "0.0.0.0/1", "max_connections_per_address": 9}, "invent its address"),
        ({"trusted_proxies": "::/0", "max_streams_per_client": 1}, "invent its address"),
        ({"max_bytes": 2**29}, "MAX_BYTES is 536870912, more than the 268435456"),
        ({"max_batch_bytes": 2**20, "upload_memory": 2**19, "max_bytes": 2048}, "MAX_BATCH_BYTES"),
        ({"rate_limit": 5, "rate_burst": 15}, "a whole batch could never be let in"),
        ({"rate_burst": 15}, "nothing would be limited"),
    ],
)
def test_what_is_unsafe_together_does_not_start_and_says_why(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match="HANDPOSE_") as caught:
        Settings(**settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        keyed(),
        {"keyless_scopes": "inference", **keyed(ADMIN)},
        {"allowed_origins": "*", **keyed()},
        {"allowed_origins": "*", "rate_limit": 1},
        {"allowed_origins": "https://a.example"},
        {"trusted_proxies": "*"},
        {"trusted_proxies": "10.0.0.0/8", "rate_limit": 1},
        {"rate_limit": 5, "rate_burst": 15, "max_batch_images": 15},
        {"rate_limit": 100},
    ],
)
def test_what_goes_together_starts(settings: dict[str, Any]) -> None:
    Settings(**settings)


def test_a_whole_batch_fits_into_the_burst_by_default() -> None:
    assert Settings(rate_limit=0.1).burst() == 16
    assert Settings(rate_limit=100).burst() == 200
    assert Settings(rate_limit=100, rate_burst=50).burst() == 50


def test_a_keys_file_that_would_leave_the_service_open_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from service.__main__ import main

    path = tmp_path / "keys"
    path.write_text("")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="leave the service open"):
        load(["--keys-file", str(path)])
    path.write_text(RECORD)
    path.chmod(0o644)
    assert main(["--keys-file", str(path)]) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_a_key_in_place_of_its_hash_is_not_repeated() -> None:
    text, _ = create("lab", ["inference"])
    with pytest.raises(SettingsError) as caught:
        load(["--keys", f"lab:inference:{text}"])
    assert text not in str(caught.value)
    assert RECORD not in repr(Settings(**keyed()))


def test_second_looks() -> None:
    assert safety.warnings(Settings()) == []
    assert safety.warnings(Settings(**keyed())) == []
    assert "without a key" in safety.warnings(Settings(host="0.0.0.0"))[0]
    assert safety.warnings(Settings(host="0.0.0.0", rate_limit=3)) == []
    assert "TLS" in safety.warnings(Settings(host="0.0.0.0", **keyed()))[0]
    assert safety.warnings(Settings(host="0.0.0.0", trusted_proxies="10.0.0.2", **keyed())) == []
