"""A download survives what servers and lines do to it, and never leaves half a file under the file's name."""

import hashlib
import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.training.file_server import FileServer, serving
from training.download import (
    CHUNK,
    DownloadError,
    begun_from,
    download,
    finish,
    part_of,
    record_of,
    recorded_sha256,
)

CONTENT = b"PK" + np.random.default_rng(0).bytes(3 * CHUNK + 1234)
OTHER = b"PK" + np.random.default_rng(1).bytes(3 * CHUNK + 1234)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(CONTENT)) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data.zip"


def get(server: FileServer, target: Path, attempts: int = 4) -> bytes:
    download(server.url, target, magic=b"PK", attempts=attempts, pause=0)
    finish(target)
    return target.read_bytes()


def test_a_file_arrives_whole_with_its_checksum_beside_it(server, target):
    steps = []
    download(server.url, target, lambda done, total: steps.append((done, total)), b"PK", pause=0)
    assert not target.exists()
    assert finish(target) == SHA256
    assert target.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert record_of(target).read_text() == f"{SHA256}  data.zip\n"  # as sha256sum --check wants it
    assert sorted(path.name for path in target.parent.iterdir()) == ["data.zip", "data.zip.sha256"]


def test_a_broken_connection_is_continued_where_it_broke(server, target):
    server.cuts = [CHUNK + 5, 100]
    assert get(server, target) == CONTENT
    ranges = [request.get("Range") for request in server.requests]
    assert ranges == [None, f"bytes={CHUNK + 5}-", f"bytes={CHUNK + 105}-"]
    assert server.requests[1]["If-Range"] == '"one"'
    assert all(request["Accept-Encoding"] == "identity" for request in server.requests)


def test_the_next_run_goes_on_with_what_an_aborted_one_has(server, target):
    server.cuts = [CHUNK, 0]
    with pytest.raises(DownloadError, match=r"2 attempts failed\. 262,144 bytes are kept"):
        get(server, target, attempts=2)
    assert part_of(target).read_bytes() == CONTENT[:CHUNK]
    assert begun_from(target) == server.url
    assert not target.exists()
    assert get(server, target) == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={CHUNK}-"
    assert begun_from(target) is None


def test_a_server_that_ignores_ranges_is_begun_again(server, target):
    server.cuts, server.ranges = [CHUNK + 5], False
    assert get(server, target) == CONTENT
    assert len(server.requests) == 2


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(server, target):
    server.cuts, server.ranges = [CHUNK + 5] * 20, False
    with pytest.raises(DownloadError, match="4 attempts failed"):
        get(server, target)
    assert len(server.requests) == 4


def test_a_server_that_promises_more_than_it_has_is_given_up(server, target):
    server.missing = 100
    with pytest.raises(DownloadError, match="4 attempts failed"):
        get(server, target)
    assert len(server.requests) == 4


def test_a_file_that_changed_in_between_is_begun_again(server, target):
    server.cuts = [CHUNK, 0]
    with pytest.raises(DownloadError):
        get(server, target, attempts=2)
    server.content, server.etag = OTHER, '"two"'
    assert get(server, target) == OTHER


@pytest.mark.parametrize("shorter", [0, CHUNK])
def test_a_change_is_seen_without_if_range_too(server, target, shorter):
    """A server that honours Range but not If-Range gives itself away by its entity tag, or by the size."""
    server.cuts = [CHUNK, 0]
    with pytest.raises(DownloadError):
        get(server, target, attempts=2)
    state = target.parent / "data.zip.part.json"
    known = json.loads(state.read_text())
    if shorter:
        server.content, server.validators = OTHER[:-shorter], False
        known |= {"etag": None, "modified": None}
    else:
        server.content, server.etag = OTHER, '"two"'
        known |= {"etag": 'W/"one"', "modified": None}  # a weak tag cannot be sent
    state.write_text(json.dumps(known))
    assert get(server, target) == server.content


def test_a_part_longer_than_the_file_is_begun_again(server, target):
    server.cuts = [2 * CHUNK, 0]
    with pytest.raises(DownloadError):
        get(server, target, attempts=2)
    server.content = CONTENT[:CHUNK]
    assert get(server, target) == CONTENT[:CHUNK]


def test_a_part_of_another_address_is_not_continued(server, target):
    with serving(FileServer(OTHER, cuts=[CHUNK, 0])) as other, pytest.raises(DownloadError):
        get(other, target, attempts=2)
    assert get(server, target) == CONTENT
    assert "Range" not in server.requests[0]


def test_a_part_of_unknown_origin_is_not_continued(server, target):
    part_of(target).write_bytes(OTHER[:CHUNK])
    assert get(server, target) == CONTENT
    part_of(target).write_bytes(OTHER[:CHUNK])
    (target.parent / "data.zip.part.json").write_text("{")
    target.unlink()
    assert get(server, target) == CONTENT


def test_an_answer_without_a_single_byte_is_asked_for_again(server, target):
    server.cuts = [0, 0]
    assert get(server, target) == CONTENT


def test_a_complete_part_needs_no_request(server, target):
    download(server.url, target, pause=0)
    download(server.url, target, pause=0)
    assert len(server.requests) == 1


def test_a_server_that_tells_no_length_is_believed_at_the_end(server, target):
    server.length = False
    assert get(server, target) == CONTENT


def test_busy_servers_are_asked_again_and_refusals_are_final(server, target):
    server.statuses = [503, 429]
    assert get(server, target) == CONTENT
    target.unlink()
    server.statuses = [403, 403]
    with pytest.raises(DownloadError, match="answers 403 Forbidden"):
        get(server, target)
    assert server.statuses == [403]


def test_nobody_there_is_said_after_the_attempts(target):
    with serving(FileServer(CONTENT)) as server:
        gone = server
    with pytest.raises(DownloadError, match=r"Connection refused.*2 attempts failed"):
        get(gone, target, attempts=2)


def test_a_web_page_in_place_of_the_file_is_refused(server, target):
    server.cuts = [CHUNK, 0]
    with pytest.raises(DownloadError):
        get(server, target, attempts=2)
    server.content, server.content_type, server.etag = b"<html>moved</html>", "text/html", '"page"'
    with pytest.raises(DownloadError, match="answers with text/html, not with the file"):
        get(server, target)
    assert part_of(target).read_bytes() == CONTENT[:CHUNK]  # what was good is kept


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/data.zip", "data.zip"])
def test_other_schemes_are_refused(target, url):
    with pytest.raises(DownloadError, match="no http or https address"):
        download(url, target)


def test_a_wrong_checksum_removes_the_download(server, target):
    download(server.url, target, pause=0)
    with pytest.raises(DownloadError, match=f"has sha256 {SHA256}, but {'0' * 64} was asked for"):
        finish(target, "0" * 64)
    assert list(target.parent.iterdir()) == []


def test_a_download_is_held_against_the_recorded_checksum(server, target):
    get(server, target)
    target.unlink()
    server.content, server.etag = OTHER, '"two"'
    with pytest.raises(DownloadError, match=r"is recorded in .*data\.zip\.sha256"):
        get(server, target)
    assert recorded_sha256(target) == SHA256
    record_of(target).write_text("unreadable\n")
    with pytest.raises(DownloadError, match="holds no sha256"):
        recorded_sha256(target)


def test_a_full_disk_is_said_before_anything_is_written(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DownloadError, match=r"the rest of data\.zip needs 0\.0 GB in .*, 0\.0 GB are free"):
        get(server, target)
    assert not part_of(target).exists()


def test_a_folder_that_cannot_be_written_is_said(server, target):
    part_of(target).mkdir()
    with pytest.raises(DownloadError, match="cannot write"):
        download(server.url, target, pause=0)
