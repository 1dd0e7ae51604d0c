"""The command line says in a sentence why it could not do what it was told."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.engines.base import EngineError
from service.engines.factory import Runtime
from training.__main__ import main


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that fails writes on stderr."""
    assert main(list(arguments)) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["train x.toml", "evaluate", "preview synthetic"])
def test_a_missing_package_is_told_with_what_brings_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where `make serve` alone has been run."""
    for name in [name for name in sys.modules if name.startswith("training.loop")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert 'torch is not installed; pip install --editable ".[training]" brings it' in told(
        capsys, *command.split()
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train x.toml --workers -1", "argument --workers: must be at least 0, not -1"),
        ("train x.toml --limit -3", "argument --limit: must be at least 1, not -3"),
        ("evaluate --limit 0", "argument --limit: must be at least 1, not 0"),
        ("report runs/x --limit half", "argument --limit: invalid whole number value: 'half'"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(command.split())
    assert capsys.readouterr().err.endswith(f"error: {message}\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--plot x.png", "--plot draws the reliability: add --calibration"),
        ("--write", "--write stores the calibration: add --calibration"),
        ("--calibration --plot x.svg", "--plot writes a PNG file: x.svg must end in .png"),
        ("--calibration --markdown", "on tables that --calibration does not print"),
        ("--calibration --joints", "on tables that --calibration does not print"),
        ("--calibration --write --precision int8", "--write stores a calibration of scores in float32"),
    ],
)
def test_options_of_evaluate_that_do_nothing_together_are_refused(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in told(capsys, "evaluate", *options.split())


def test_files_that_cannot_be_read_or_written_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    data = ("--data", str(tmp_path))
    assert told(capsys, *data, "evaluate", "photos").endswith("photos: Is a directory\n")
    assert told(capsys, *data, "export", "none.pt") == (
        "python -m training export: none.pt: No such file or directory\n"
    )


def test_a_service_that_is_away_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hand.jpg").write_bytes(b"")
    (tmp_path / "hands.json").write_text(
        '{"images": [{"id": 1, "file_name": "hand.jpg"}], '
        '"annotations": [{"image_id": 1, "bbox": [1, 1, 9, 9]}]}'
    )
    url = "http://127.0.0.1:9"
    arguments = ("--data", str(tmp_path), "sheet", "--photos", "hands.json", "--to", str(tmp_path / "x.jpg"))
    message = told(capsys, *arguments, "--url", url)
    assert f"{url}: " in message
    assert "refused" in message


@pytest.mark.parametrize(("option", "precision"), [("", "float32"), ("--precision int8", "int8")])
def test_evaluate_asks_the_pair_in_the_precision_that_is_named(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    precision: str,
) -> None:
    asked: list[Runtime] = []

    def load(*_: Path, runtime: Runtime) -> None:
        asked.append(runtime)
        raise EngineError("enough")

    monkeypatch.setattr("service.inference.pipeline.Pipeline.load", load)
    assert main(["--data", str(root / "tests"), "evaluate", *option.split(), "photos/labels.json"]) == 1
    assert asked == [Runtime(precision=precision)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_told_to_end_cleans_up_and_says_so(
    number: signal.Signals, root: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "hands.json"
    os.mkfifo(labels)  # who reads it waits
    command = [sys.executable, "-m", "training", "--data", str(tmp_path), "label", labels.name]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        writer = os.open(labels, os.O_WRONLY)  # returns once it is being read
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        os.close(writer)
    assert process.returncode == 130
    assert errors.endswith("python -m training label: interrupted\n")
    assert "Traceback" not in errors
