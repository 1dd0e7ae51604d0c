from pathlib import Path

import pytest

from training.checkpoint_folder import replacing


def write(folder: Path, text: str) -> None:
    with replacing(folder) as staged:
        (staged / "card.json").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write(tmp_path / "pose", text)
        assert (tmp_path / "pose" / "card.json").read_text() == text
        assert names(tmp_path) == ["pose"]


def test_a_kill_while_the_new_folder_moves_in_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "pose", "old")
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if target == tmp_path / "pose":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "pose", "new")
    assert (tmp_path / ".pose.replaced" / "card.json").read_text() == "old"


def test_what_a_kill_left_behind_gives_way(tmp_path: Path) -> None:
    write(tmp_path / "pose", "old")
    (tmp_path / "pose").rename(tmp_path / ".pose.replaced")
    for text in ("new", "newer"):
        write(tmp_path / "pose", text)
    assert names(tmp_path) == ["pose"]
    assert (tmp_path / "pose" / "card.json").read_text() == "newer"
