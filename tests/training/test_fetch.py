"""From an address to a data set that its reader reads; terms first, and nothing done twice."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.datasets.miniature import write_egohands, write_freihand
from tests.training.file_server import FileServer, serving
from training import fetch as module
from training.datasets.egohands import EgoHands
from training.datasets.freihand import FreiHand
from training.datasets.sources import EGOHANDS, Archive, Source
from training.download import DownloadError, recorded_sha256
from training.fetch import FetchError, fetch
from training.unpack import UnpackError

VIDEO = "CARDS_LIVINGROOM_B_T"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def zipped(folder: Path, *parts: str) -> bytes:
    """The files of a folder whose path begins with one of `parts` (all without any), as a zip file."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as content:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_file() and name.startswith(parts or ("",)):
                content.write(path, name)
    return memory.getvalue()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return zipped(write_egohands(tmp_path_factory.mktemp("egohands"), (VIDEO,), 2))


@pytest.fixture
def server(archive: bytes) -> Iterator[FileServer]:
    with serving(FileServer(archive)) as running:
        yield running


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def get(server: FileServer, to: Path, console: Console, **options: object) -> list[Path]:
    settings = {"accept_licence": True, "urls": [server.url], "attempts": 3, "pause": 0} | options
    return fetch("egohands", to, console=console, **settings)  # type: ignore[arg-type]


def test_a_connection_cut_in_the_middle_still_ends_in_a_data_set(server, archive, tmp_path, console):
    server.cuts = [len(archive) // 2]
    (folder,) = get(server, tmp_path / "data", console)
    assert folder == tmp_path / "data" / "egohands_data"
    assert len(EgoHands(tmp_path / "data")) == 2
    assert len(EgoHands(folder)) == 2
    assert [("Range" in request) for request in server.requests] == [False, True]
    assert recorded_sha256(tmp_path / "data" / "egohands_data.zip") == hashlib.sha256(archive).hexdigest()


def test_nothing_is_done_twice(server, tmp_path, console):
    (folder,) = get(server, tmp_path, console)
    get(server, tmp_path, console, accept_licence=False)
    assert len(server.requests) == 1
    assert f"{folder} is there already" in said(console)
    (tmp_path / "egohands_data.zip").unlink()  # as the last line allows
    get(server, tmp_path, console, accept_licence=False)
    assert len(server.requests) == 1


def test_an_archive_that_is_there_is_checked_and_unpacked(server, archive, tmp_path, console):
    (tmp_path / "egohands_data.zip").write_bytes(archive)
    get(server, tmp_path, console)
    assert server.requests == []
    assert len(EgoHands(tmp_path)) == 2
    (tmp_path / "egohands_data").rename(tmp_path / "elsewhere")
    (tmp_path / "egohands_data.zip").write_bytes(archive[:-1] + b"!")
    with pytest.raises(FetchError, match=r"egohands_data\.zip has sha256 .* remove it"):
        get(server, tmp_path, console)


def test_the_terms_come_before_the_first_byte(server, tmp_path, console):
    answers = iter(["y", "yes"])
    with pytest.raises(FetchError, match="were not accepted; nothing was downloaded"):
        get(server, tmp_path, console, accept_licence=False, ask=lambda question: next(answers))
    assert server.requests == []
    assert EGOHANDS.licence in said(console)
    assert "ICCV 2015" in said(console)
    get(server, tmp_path, console, accept_licence=False, ask=lambda question: next(answers))
    assert len(EgoHands(tmp_path)) == 2


def test_without_a_terminal_the_terms_must_be_accepted_by_option(server, tmp_path, console, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(FetchError, match="accept these terms with --accept-licence"):
        get(server, tmp_path, console, accept_licence=False)
    assert server.requests == []


def test_freihand_says_that_it_is_for_research_only(tmp_path, console):
    with pytest.raises(FetchError):
        fetch("freihand", tmp_path, console=console, ask=lambda question: "no")
    assert "research only, no commercial use" in said(console)
    assert "FreiHAND_pub_v2.zip (3.7 GB), FreiHAND_pub_v2_eval.zip (0.7 GB)" in said(console)


def test_freihand_comes_in_two_archives(tmp_path, console):
    made = write_freihand(tmp_path / "made", 2, 1)
    training = zipped(made, "training", "evaluation/", "evaluation_K", "evaluation_scale")
    evaluation = zipped(made, "evaluation")
    with serving(FileServer(training)) as one, serving(FileServer(evaluation)) as two:
        folders = fetch(
            "freihand",
            tmp_path / "to",
            True,
            urls=[f"FreiHAND_pub_v2.zip={one.url}", f"FreiHAND_pub_v2_eval.zip={two.url}"],
            checksums=[f"FreiHAND_pub_v2_eval.zip={hashlib.sha256(evaluation).hexdigest()}"],
            console=console,
            pause=0,
        )
    assert [folder.name for folder in folders] == ["FreiHAND_pub_v2", "FreiHAND_pub_v2_eval"]
    assert len(FreiHand(tmp_path / "to")) == 2
    data = FreiHand(tmp_path / "to", "evaluation")
    assert data.entries[0].path.is_relative_to(folders[1])


def test_a_checksum_that_was_asked_for_must_be_met(server, archive, tmp_path, console):
    digest = hashlib.sha256(archive).hexdigest()
    with pytest.raises(DownloadError, match="was asked for; the download was removed"):
        get(server, tmp_path, console, checksums=["0" * 64])
    assert list(tmp_path.iterdir()) == []
    get(server, tmp_path, console, checksums=[digest.upper()])
    assert f"sha256 {digest}, as expected" in said(console)


def test_a_damaged_archive_can_be_removed_and_comes_again(server, archive, tmp_path, console):
    server.content, server.length, server.validators = (
        archive[:-200],
        False,
        False,
    )  # nothing says that more should come
    with pytest.raises(UnpackError, match=r"damaged .*; remove .*egohands_data\.zip to download it again"):
        get(server, tmp_path, console)
    (tmp_path / "egohands_data.zip").unlink()
    server.content = archive
    (folder,) = get(server, tmp_path, console)
    assert len(EgoHands(folder)) == 2


def test_an_archive_that_climbs_out_of_its_folder_is_refused(server, tmp_path, console):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as content:
        content.writestr("../../evil.txt", "evil")
    server.content = memory.getvalue()
    with pytest.raises(UnpackError, match="would be written outside"):
        get(server, tmp_path / "a" / "b", console)
    assert not list(tmp_path.rglob("evil.txt"))


def test_the_next_address_is_tried_where_one_is_gone(server, archive, tmp_path, console, monkeypatch):
    page = FileServer(b"<html>moved</html>", content_type="text/html")
    with serving(page):
        source = EGOHANDS.archives[0]
        two = Archive(source.file, source.folder, (page.url, server.url), source.holds, source.download)
        monkeypatch.setattr(module, "SOURCES", {"egohands": _with(two)})
        server.cuts = [1000, 0, 0]
        with pytest.raises(DownloadError, match="1,000 bytes are kept"):
            get(server, tmp_path, console, urls=[])
        assert "answers with text/html, not with the file; trying the next address" in said(console)
        assert len(page.requests) == 1
        get(server, tmp_path, console, urls=[])  # goes on where it broke off, with the address it came from
        assert len(page.requests) == 1
        assert server.requests[-1]["Range"] == "bytes=1000-"
    assert len(EgoHands(tmp_path)) == 2


def _with(archive: Archive) -> Source:
    return Source(
        EGOHANDS.key,
        EGOHANDS.name,
        EGOHANDS.licence,
        EGOHANDS.notice,
        EGOHANDS.citation,
        EGOHANDS.page,
        (archive,),
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("coco", {}, "no data set 'coco'; known are egohands, freihand"),
        (
            "freihand",
            {"checksums": ["0" * 64]},
            r"write FILE=VALUE, where FILE is one of FreiHAND_pub_v2\.zip",
        ),
        ("egohands", {"checksums": ["123"]}, "'123' is not 64 hexadecimal digits"),
        ("freihand", {"urls": ["hands.zip=http://127.0.0.1"]}, r"--url hands\.zip=http"),
        ("egohands", {"urls": ["file:///etc/hostname"]}, "no http or https address"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, console, name, options, message):
    with pytest.raises(ValueError, match=message):
        fetch(name, tmp_path, True, console=console, pause=0, **options)


def test_a_folder_in_the_way_is_named(server, tmp_path, console):
    (tmp_path / "egohands_data").mkdir()
    with pytest.raises(FetchError, match=r"is in the way and lacks _LABELLED_SAMPLES, metadata\.mat"):
        get(server, tmp_path, console)
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match=r"file: File exists|file: Not a directory"):
        get(server, tmp_path / "file", console)
