from pathlib import Path

import pytest
import torch

from training.__main__ import main
from training.state import read, write


def test_what_is_no_file_of_weights_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "state.pt", {"step": 3, "network": {"weight": torch.ones(500)}})
    assert read(tmp_path / "state.pt", "step")["step"] == 3
    with pytest.raises(ValueError, match=r"state\.pt was not written by the training loop"):
        read(tmp_path / "state.pt", "recipe")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:-500])
    for name, content in (("hand.txt", b"hand"), ("photo.jpg", b"\xff\xd8\xff\xe0"), ("nothing", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("cut.pt", "hand.txt", "photo.jpg", "nothing"):
        assert main(["--data", str(tmp_path), "export", str(tmp_path / name)]) == 1
        assert f"{name} is damaged, or no file of weights" in capsys.readouterr().err
