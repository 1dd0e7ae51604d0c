import os
import stat
from pathlib import Path

import pytest

from service.__main__ import main
from service.api.keys import KeysError, load, read_file


def test_the_key_is_shown_once_and_its_hash_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    assert main(["create-key", "lab", "--file", str(path)]) == 0
    assert main(["create-key", "ops", "--scopes", "admin,metrics", "--file", str(path)]) == 0
    lab, ops = capsys.readouterr().out.split()
    ring = load("", path)
    found = ring.find(lab), ring.find(ops)
    assert [(key.name, key.scopes) for key in found if key] == [
        ("lab", {"inference"}),
        ("ops", {"admin", "metrics"}),
    ]
    assert lab not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_file_the_record_is_printed_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create-key", "lab"]) == 0
    out, err = capsys.readouterr()
    record = err.rsplit(" ", 1)[1].strip()
    key = load(record, None).find(out.strip())
    assert key is not None
    assert key.name == "lab"


def test_a_file_without_a_last_newline_is_not_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours")
    path.chmod(0o600)
    assert main(["create-key", "lab", "--file", str(path)]) == 0
    assert [key.name for key in load("", path).keys] == ["lab"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root may give a file away")
def test_root_adds_to_the_file_of_the_services_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    assert main(["create-key", "lab", "--file", str(path)]) == 0
    os.chown(path, 10001, -1)
    assert main(["create-key", "ops", "--file", str(path)]) == 0
    assert [key.name for key in read_file(path, anyones=True)] == ["lab", "ops"]
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (10001, 0o600)
    with pytest.raises(KeysError, match="belongs to user 10001"):
        load("", path)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a b"], "name has 1 to 64"),
        (["lab", "--scopes", "all"], "no scope 'all'"),
        (["lab", "--scopes", ""], "no scope ''"),
        (["lab", "--file", "/nowhere/keys"], "/nowhere/keys: No such file"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create-key", *words]) == 2
    out, err = capsys.readouterr()
    assert complaint in err
    assert out == ""


def test_a_name_is_given_once_and_the_file_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    assert main(["create-key", "lab", "--file", str(path)]) == 0
    before = path.read_text()
    assert main(["create-key", "lab", "--file", str(path)]) == 2
    path.chmod(0o666)
    assert main(["create-key", "other", "--file", str(path)]) == 2
    assert path.read_text() == before
