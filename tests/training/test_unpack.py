"""An archive is unpacked whole and inside its folder, or not at all."""

import io
import shutil
import stat
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from training.download import DownloadError
from training.unpack import UnpackError, unpack

FILES = {"data/a.txt": b"a" * 1000, "data/deep/b.txt": b"b" * 2000, "list.json": b"[]"}


def archive(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as content:
        for name, data in files.items():
            content.writestr(name, data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_there_afterwards(tmp_path):
    steps = []
    folder = tmp_path / "set"
    count = unpack(archive(tmp_path, FILES), folder, ("data", "list.json"), lambda *step: steps.append(step))
    assert count == 3
    assert tree(folder) == FILES
    assert steps[-1] == (3002, 3002)
    assert not (tmp_path / "set.unpacking").exists()


def test_a_single_folder_around_everything_is_left_out(tmp_path):
    wrapped = {f"set_v2/{name}": data for name, data in FILES.items()} | {"__MACOSX/set_v2/._a": b"x"}
    unpack(archive(tmp_path, wrapped), tmp_path / "set", ("data", "list.json"))
    assert tree(tmp_path / "set") == FILES


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "data/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:/evil.txt", "data/.."],
)
def test_names_that_lead_outside_are_refused(tmp_path, name):
    place = tmp_path / "place"
    place.mkdir()
    path = archive(tmp_path, FILES | {name: b"evil"})
    with pytest.raises(UnpackError, match="would be written outside of its folder"):
        unpack(path, place / "set")
    assert list(place.iterdir()) == []
    assert not (tmp_path / "evil.txt").exists()


def test_links_are_refused(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as content:
        link = zipfile.ZipInfo("data/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        content.writestr(link, "/etc")
    with pytest.raises(UnpackError, match="'data/link' is a link or device"):
        unpack(path, tmp_path / "set")


def test_encrypted_members_are_refused(tmp_path):
    path = archive(tmp_path, FILES)
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    with pytest.raises(UnpackError, match=r"'data/a\.txt' is encrypted"):
        unpack(path, tmp_path / "set")


def test_damage_is_found_and_leaves_nothing(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as content:
        content.writestr("data/a.txt", b"first file")
        content.writestr("data/b.txt", b"the bytes that rot")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"bytes that rot", b"bytes that rut"))
    with pytest.raises(UnpackError, match=r"is damaged or no zip file: Bad CRC-32.*b\.txt"):
        unpack(path, tmp_path / "set")
    path.write_bytes(whole[:-30])
    with pytest.raises(UnpackError, match="is damaged or no zip file"):
        unpack(path, tmp_path / "set")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.zip"]


def test_an_archive_of_something_else_is_refused(tmp_path):
    with pytest.raises(UnpackError, match=r"does not hold training_K\.json"):
        unpack(archive(tmp_path, FILES), tmp_path / "set", ("list.json", "training_K.json"))
    assert not (tmp_path / "set").exists()
    with pytest.raises(UnpackError, match="does not hold any file"):
        unpack(archive(tmp_path, {}), tmp_path / "set")


def test_the_rest_of_an_interrupted_run_is_removed(tmp_path):
    stage = tmp_path / "set.unpacking"
    stage.mkdir()
    (stage / "half.txt").write_text("half")
    unpack(archive(tmp_path, FILES), tmp_path / "set")
    assert tree(tmp_path / "set") == FILES
    assert not stage.exists()


def test_an_interruption_leaves_nothing(tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive(tmp_path, FILES), tmp_path / "set", (), interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.zip"]


def test_a_folder_that_exists_is_not_touched(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(FileExistsError):
        unpack(archive(tmp_path, FILES), tmp_path / "set")
    assert list((tmp_path / "set").iterdir()) == []


def test_a_disk_too_small_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 0))
    with pytest.raises(DownloadError, match=r"unpacking data\.zip needs"):
        unpack(archive(tmp_path, FILES), tmp_path / "set")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data.zip"]


def test_what_is_no_zip_file_is_refused(tmp_path):
    (tmp_path / "data.zip").write_bytes(io.BytesIO(b"PK and nothing more").getvalue())
    with pytest.raises(UnpackError, match="is damaged or no zip file"):
        unpack(tmp_path / "data.zip", tmp_path / "set")
