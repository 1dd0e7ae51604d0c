"""The page of a service that wants a key."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from service.api.keys import create
from service.create_key import add
from tests.end_to_end.browser.conftest import Watched

WRONG = "hp_" + "x" * 43


@pytest.fixture
def keyed(start_server: Callable[..., Any], tmp_path: Path) -> tuple[Any, str]:
    """A server that knows one key, and the key."""
    text, key = create("lab", ["inference"])
    add(tmp_path / "keys", key)
    return start_server("--keys-file", str(tmp_path / "keys")), text


def enter(page: Page, key: str, keep: bool = False) -> None:
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key", key)
    page.set_checked("#keep-key", keep)
    page.click("#key-dialog .primary")


def kept(page: Page) -> list[list[str]]:
    found: list[list[str]] = page.evaluate(
        "() => [...Object.entries(localStorage), ...Object.entries(sessionStorage)]"
    )
    return found


@pytest.fixture
def page_of(
    visit: Callable[..., Watched], launch: Callable[..., Browser], keyed: tuple[Any, str]
) -> Iterator[Callable[[str], Watched]]:
    """Opens the page in a mode; no key may show up in the address of anything it asks for."""
    browser = launch("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    urls: list[str] = []

    def start(mode: str) -> Watched:
        watched = visit(browser, url=keyed[0].url, mode=mode)
        watched.allowed = ("status of 401",)  # what a browser logs of the answer
        watched.page.on("request", lambda request: urls.append(request.url))
        watched.page.on("websocket", lambda opened: urls.append(opened.url))
        return watched

    yield start
    assert any("/v1/" in url for url in urls)
    assert not any("hp_" in url for url in urls)


def test_it_asks_for_the_key_and_keeps_it_only_when_told_to(
    page_of: Callable[[str], Watched], keyed: tuple[Any, str], shipped_photos: list[Any]
) -> None:
    _, key = keyed
    watched = page_of("photo")
    page = watched.page

    def choose() -> None:
        with page.expect_file_chooser() as chooser:
            page.click("#begin")
        chooser.value.set_files(shipped_photos[0].path)

    def reload() -> None:
        page.reload()
        page.wait_for_selector("#begin:not(:empty)")

    choose()
    enter(page, "no key at all")
    assert page.is_visible("#key-dialog"), "what cannot be a key is not sent"
    enter(page, WRONG)
    page.wait_for_selector("#key-reason:has-text('does not recognise the last one')")
    enter(page, f" {key} ")
    watched.wait_for_state("photo")
    assert kept(page) == []
    assert "Bearer hp_…" in page.inner_text("#code")

    reload()
    choose()
    enter(page, key, keep=True)
    watched.wait_for_state("photo")
    assert kept(page) == [["handpose-key", key]]

    reload()
    choose()
    watched.wait_for_state("photo")
    page.click("#forget-key")
    assert kept(page) == []
    assert not page.is_visible("#forget-key")


def test_a_stream_that_is_refused_goes_on_with_the_key(
    page_of: Callable[[str], Watched], keyed: tuple[Any, str]
) -> None:
    watched = page_of("camera")
    page = watched.page
    page.click("#begin")
    page.wait_for_selector("#key-dialog[open]")
    page.click("#key-cancel")
    page.wait_for_selector("#notice:has-text('No key was sent')")
    page.click("#retry")
    enter(page, keyed[1])
    watched.wait_for_state("live")
    assert kept(page) == []
