"""Photos and videos on the page, and how it looks: on a phone, in the dark."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end.browser.conftest import FRAMES, Camera, Watched

pytestmark = pytest.mark.timeout(600)  # the first test renders what the camera shows

DROP = """([name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }
}"""
PASTE = """([type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], "pasted", { type }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, clipboardData }));
}"""


def drop(page: Page, name: str, kind: str, data: bytes) -> None:
    """Drop a file on the page."""
    page.evaluate(DROP, [name, kind, base64.b64encode(data).decode()])


def check_photo(watched: Watched, photo: Any) -> None:
    """The last answer drawn is about this photo, and right."""
    watched.wait_for_state("photo")
    answer = watched.drawn()[-1]["answer"]
    for hand in photo.hands:
        errors = [
            np.linalg.norm([(p["x"], p["y"]) for p in found["keypoints"]] - hand.keypoints[:, :2], axis=1)
            for found in answer["hands"]
        ]
        size = (hand.box[2:] - hand.box[:2]).max()
        assert (min(errors, key=np.mean) <= 0.2 * size).mean() >= 0.8
    assert watched.page.inner_text("#status").startswith(f"{len(answer['hands'])} hand")
    assert watched.page.locator(".hand").count() == len(answer["hands"])


def test_photos_are_chosen_dropped_and_pasted(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any]
) -> None:
    watched = visit(browser, mode="photo")
    page = watched.page
    first, second, third = shipped_photos[:3]
    with page.expect_file_chooser() as chooser:
        page.click("#begin")
    chooser.value.set_files(first.path)
    check_photo(watched, first)
    page.locator("#json-view summary").click()
    assert '"keypoints"' in page.inner_text("#json")
    page.check("#show-names")
    with page.expect_download() as download:
        page.click("#save")
    saved = cv2.imread(str(download.value.path()))
    assert saved is not None
    assert max(saved.shape) >= 400

    page.check("[value=camera]")
    drop(page, "photo.jpg", "image/jpeg", second.path.read_bytes())
    watched.wait_for("() => drawn.length > 0")
    assert page.is_checked("[value=photo]"), "a photo that is dropped is looked at in any mode"
    check_photo(watched, second)

    page.evaluate(PASTE, ["image/jpeg", base64.b64encode(third.path.read_bytes()).decode()])
    watched.wait_for("() => drawn.length > 0")
    check_photo(watched, third)


def test_the_service_says_how_many_hands_until_the_visitor_does(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any]
) -> None:
    """It may answer fewer than the page would ask for, and would refuse more."""
    page = visit(browser, mode="photo").page
    with page.expect_request("**/v1/pose?*") as asked:
        drop(page, "photo.jpg", "image/jpeg", shipped_photos[0].path.read_bytes())
    assert "max_hands" not in asked.value.url
    for most in ("3", "4"):
        with page.expect_request("**/v1/pose?*") as asked:
            page.fill("[name=max_hands]", most)
        assert f"max_hands={most}" in asked.value.url


def test_a_number_that_cannot_be_is_not_sent(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any]
) -> None:
    page = visit(browser, mode="photo").page
    page.fill("[name=max_hands]", "99")
    with page.expect_request("**/v1/pose?*") as asked:
        drop(page, "photo.jpg", "image/jpeg", shipped_photos[0].path.read_bytes())
    assert "max_hands" not in asked.value.url


def test_a_photo_that_fails_leaves_nothing_of_the_one_before(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any]
) -> None:
    watched = visit(browser, mode="photo")
    watched.allowed = ("status of 415",)
    page = watched.page
    drop(page, "photo.jpg", "image/jpeg", shipped_photos[0].path.read_bytes())
    check_photo(watched, shipped_photos[0])
    drop(page, "notes.txt", "text/plain", b"these are no pixels")
    page.wait_for_selector("#error:has-text('does not support that type')")
    assert page.locator(".hand").count() == 0
    assert not page.is_visible("#json-view")
    assert page.inner_text("#timing") == ""


def test_a_file_that_is_changed_later_is_still_the_photo_that_is_shown(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any], tmp_path: Path
) -> None:
    watched = visit(browser, mode="photo")
    page, file = watched.page, tmp_path / "photo.jpg"
    file.write_bytes(shipped_photos[0].path.read_bytes())
    page.set_input_files("#file", file)
    check_photo(watched, shipped_photos[0])
    file.write_bytes(shipped_photos[3].path.read_bytes())
    page.fill("[name=min_score]", "0.3")
    watched.wait_for("() => drawn.length > 0")
    check_photo(watched, shipped_photos[0])


def test_who_leaves_while_a_photo_is_looked_at_finds_no_dimmed_page(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any]
) -> None:
    watched = visit(browser, mode="photo")
    page = watched.page
    page.route("**/v1/pose?*", lambda route: None)  # never answered
    drop(page, "photo.jpg", "image/jpeg", shipped_photos[0].path.read_bytes())
    page.wait_for_selector("#page[aria-busy=true]")
    page.check("[value=camera]")
    assert page.get_attribute("#page", "aria-busy") is None
    page.click("#begin")
    watched.wait_for_state("live")
    assert page.evaluate("() => getComputedStyle(canvas).opacity") == "1"


def test_a_photo_on_its_slow_way_is_told_of_where_it_will_be(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any]
) -> None:
    """On a phone the words beside the picture are far below it. And the keyboard loses its place at no time."""
    watched = visit(browser, mode="photo", width=360)
    page = watched.page
    page.route("**/v1/pose?*", lambda route: None)  # never answered
    page.focus("#begin")
    page.set_input_files("#file", shipped_photos[0].path)
    watched.wait_for_state("starting")
    assert page.inner_text("#begin") == "Looking for hands …"
    assert page.is_visible("#choose")
    page.unroute("**/v1/pose?*")
    page.set_input_files("#file", shipped_photos[0].path)
    watched.wait_for_state("photo")
    assert page.evaluate("() => document.activeElement.id") == "choose"
    watched.allowed = ("status of 415",)
    drop(page, "notes.txt", "text/plain", b"these are no pixels")
    watched.wait_for_state("empty")
    assert page.is_enabled("#begin")
    assert not page.is_visible("#choose"), "another than which?"


@pytest.mark.parametrize("mode", ["camera", "video", "photo"])
def test_the_invitation_has_room_on_a_narrow_phone_with_large_letters(
    visit: Callable[..., Watched], browser: Browser, mode: str
) -> None:
    page = visit(browser, mode=mode, width=320).page
    page.evaluate("() => { document.documentElement.style.fontSize = '24px'; }")
    cut = page.evaluate("""() => {
      const { top, bottom } = document.getElementById("stage").getBoundingClientRect();
      return [...document.querySelectorAll("#invitation > *")].map((one) => one.getBoundingClientRect())
        .filter((one) => one.top < top || one.bottom > bottom).length;
    }""")
    assert cut == 0


def test_a_phone_says_right_under_the_photo_that_no_hand_was_found(
    visit: Callable[..., Watched], browser: Browser
) -> None:
    page = visit(browser, mode="photo", width=375).page
    grey = cv2.imencode(".jpg", np.full((240, 320, 3), 127, np.uint8))[1].tobytes()
    drop(page, "grey.jpg", "image/jpeg", grey)
    page.wait_for_selector("#status:has-text('No hand found')")
    stage, status, choose = (
        page.locator(f"#{name}").bounding_box() for name in ("stage", "status", "choose")
    )
    assert stage["y"] + stage["height"] <= status["y"] <= choose["y"] - status["height"]


def test_a_slider_that_the_browser_kept_says_its_value(
    visit: Callable[..., Watched], browser: Browser
) -> None:
    watched = visit(browser, mode="photo")
    watched.page.fill("[name=min_score]", "0.8")
    watched.page.goto(f"{watched.url}/docs")
    watched.page.go_back()
    watched.wait_for("() => options.min_score.value === '0.8'")
    watched.page.wait_for_selector("#score-value:has-text('0.80')")


def test_what_cannot_be_read_is_said(visit: Callable[..., Watched], browser: Browser) -> None:
    watched = visit(browser, mode="photo")
    watched.allowed = ("status of 415",)  # what a browser logs of the answer
    page = watched.page
    drop(page, "notes.txt", "text/plain", b"these are no pixels")
    page.wait_for_selector("#error:has-text('does not support that type')")
    assert page.is_visible("#begin")
    drop(page, "film.mp4", "video/mp4", b"and this is no film")
    page.wait_for_selector("#error:has-text('cannot play that video')")
    watched.wait_for_state("empty")
    page.check("[value=camera]")
    assert not page.is_visible("#error")


@pytest.fixture
def video(camera: Camera, tmp_path: Path) -> Path:
    """The frames of the camera as a WebM file, three seconds of it, each shown for a while."""
    pictures = camera.path.read_bytes().split(b"\xff\xd8\xff")[1 : FRAMES + 1]
    path = tmp_path / "hands.webm"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), FRAMES / 3, (640, 480))
    for picture in pictures:
        writer.write(cv2.imdecode(np.frombuffer(b"\xff\xd8\xff" + picture, np.uint8), cv2.IMREAD_COLOR))
    writer.release()
    return path


def test_a_video_is_played_paused_and_searched(
    visit: Callable[..., Watched], browser: Browser, camera: Camera, video: Path
) -> None:
    watched = visit(browser, mode="video")
    page = watched.page
    with page.expect_file_chooser() as chooser:
        page.click("#begin")
    chooser.value.set_files(video)
    watched.wait_for_state("live")
    assert not page.is_checked("#mirror"), "a video is no mirror"
    page.click("#play")
    page.wait_for_selector("#play:has-text('Play')")
    page.wait_for_timeout(500)
    for share, frames in ((0.15, range(FRAMES // 2)), (0.9, range(FRAMES // 2, FRAMES))):
        page.evaluate(
            "(value) => { seek.value = value; seek.dispatchEvent(new Event('input')); }", 1000 * share
        )
        last, number = watched.drawn_from(frames)
        for hand in last["answer"]["hands"]:
            errors = [
                np.linalg.norm([(p["x"], p["y"]) for p in hand["keypoints"]] - truth.keypoints, axis=1).mean()
                / truth.box[2:].max()
                for truth in camera.frames[number]
            ]
            assert min(errors) < 0.15
    page.fill("[name=max_hands]", "1")
    watched.wait_for("() => drawn.length && drawn.at(-1).answer.hands.length <= 1")
    page.click("#play")
    watched.drawn()
    watched.wait_for("() => drawn.length >= 2")


@pytest.mark.parametrize("mode", ["video", "photo"])
def test_a_page_that_comes_back_can_be_used(
    visit: Callable[..., Watched], browser: Browser, video: Path, shipped_photos: list[Any], mode: str
) -> None:
    """As browsers keep pages for the button Back, with all they have but what moved: that ended as they were left."""
    watched = visit(browser, mode=mode)
    page = watched.page
    page.set_input_files("#file", video if mode == "video" else shipped_photos[0].path)
    watched.wait_for_state("live" if mode == "video" else "photo")
    for kind in ("pagehide", "pageshow"):
        page.evaluate(
            "(kind) => { dispatchEvent(new PageTransitionEvent(kind, { persisted: true })); }", kind
        )
    assert page.get_attribute("#stage", "data-state") == ("empty" if mode == "video" else "photo")
    if mode == "video":
        assert page.is_visible("#begin")
        assert not page.is_visible("#stop")
        assert not page.is_visible("#seek")
        page.set_input_files("#file", video)
        watched.wait_for_state("live")


def luminance(colour: str) -> float:
    """Relative luminance of a CSS colour, 0 to 1 (WCAG 2.2)."""
    levels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


# Each text's colour and that of what is painted behind it.
COLOURS = """() => [...document.querySelectorAll("main *, header *")]
  .filter((node) => node.checkVisibility() && !node.disabled
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
  .map((node) => {
    let behind = node;
    const ground = (one) => getComputedStyle(one).backgroundColor;
    while (behind && /, 0\\)$|^transparent$/.test(ground(behind))) behind = behind.parentElement;
    return [node.textContent.trim(), getComputedStyle(node).color,
      ground(behind ?? document.documentElement)];
  })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_and_pressed_on_a_phone(
    visit: Callable[..., Watched], browser: Browser, shipped_photos: list[Any], scheme: str
) -> None:
    watched = visit(browser, width=390, color_scheme=scheme, has_touch=True, is_mobile=True)
    page = watched.page

    def check() -> None:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, (
            "it is wider than the phone"
        )
        heights = page.evaluate("""() => [...document.querySelectorAll("button, select, main label, summary")]
          .filter((node) => node.checkVisibility()).map((node) => [node.textContent, node.offsetHeight])""")
        assert not [item for item in heights if item[1] < 38]
        texts = page.evaluate(COLOURS)
        assert len(texts) > 10
        for text, ink, ground in texts:
            low, high = sorted((luminance(ink), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ink, ground)
        assert (
            luminance(page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")) < 0.1
        ) == (scheme == "dark")

    check()
    page.check("[value=photo]")
    drop(page, "photo.jpg", "image/jpeg", shipped_photos[0].path.read_bytes())
    watched.wait_for_state("photo")
    check()
    drop(page, "notes.txt", "text/plain", b"these are no pixels")
    watched.allowed = ("status of 415",)
    page.wait_for_selector("#error:visible")
    check()
