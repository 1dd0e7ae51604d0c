from pathlib import Path

import pytest

from service.settings import PREFIX, Settings, SettingsError, load


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def test_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.threads) == ("127.0.0.1", 8000, 0)


def test_every_setting_explains_itself_and_its_default_is_allowed() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
    Settings.model_validate(Settings().model_dump())


def test_the_environment_sets_and_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDPOSE_PORT", "8001")
    monkeypatch.setenv("HANDPOSE_QUEUE_SIZE", "5")
    assert load().port == 8001
    settings = load(["--port", "8002", "--pose", "/tmp", "--access-log"])
    assert (settings.port, settings.queue_size, settings.pose) == (8002, 5, Path("/tmp"))
    assert settings.access_log


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("HANDPOSE_PORT", "70000", "--port"),
        ("HANDPOSE_PORT", "http", "--port"),
        ("HANDPOSE_QUEUE_SIZE", "-1", "--queue-size"),
        ("HANDPOSE_DETECTION_THRESHOLD", "1.5", "--detection-threshold"),
        ("HANDPOSE_LOG_LEVEL", "loud", "--log-level"),
        ("HANDPOSE_ACCESS_LOG", "perhaps", "--access-log"),
        ("HANDPOSE_POSE", "/nowhere", "--pose"),
        ("HANDPOSE_DETECTOR", "/nowhere", "--detector"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, flag: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    for word in (name, value, flag):
        assert word in str(caught.value)


def test_what_we_say_of_a_value_is_told_as_we_say_it() -> None:
    with pytest.raises(SettingsError) as caught:
        load(["--device", "tpu"])
    assert (
        str(caught.value)
        == "HANDPOSE_DEVICE (--device): a device is auto, cpu, cuda, cuda:N or mps, not 'tpu'"
    )


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if name != "keys":
            monkeypatch.setenv(PREFIX + name.upper(), "")
    assert load() == load([]) == Settings.model_construct()


@pytest.mark.parametrize("records", ["", " ", ",", "# lab:inference:0", " , "])
def test_a_variable_for_keys_without_one_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, records: str
) -> None:
    monkeypatch.setenv("HANDPOSE_KEYS", records)
    with pytest.raises(SettingsError, match=r"HANDPOSE_KEYS.*leave the service open"):
        load()


def test_several_bad_values_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDPOSE_PORT", "-1")
    with pytest.raises(SettingsError, match=r"PORT.*THREADS"):
        load(["--threads", "-1"])


def test_an_unknown_variable_is_refused_with_the_likely_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDPOSE_PROT", "8001")
    with pytest.raises(SettingsError, match=r"HANDPOSE_PROT; did you mean HANDPOSE_PORT\?"):
        load()
    monkeypatch.delenv("HANDPOSE_PROT")
    monkeypatch.setenv("HANDPOSE_ZZZZZZ", "1")
    with pytest.raises(SettingsError, match="there are HANDPOSE_"):
        load([])


def test_help_lists_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in Settings.model_fields:
        assert "--" + name.replace("_", "-") in text


def test_an_unknown_flag_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(["--prot", "1"])
    assert caught.value.code == 2
    assert "--prot" in capsys.readouterr().err
