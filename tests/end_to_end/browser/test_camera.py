"""The page's camera, in a real browser, on the real weights."""

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from playwright.sync_api import Browser

from tests.end_to_end.browser.conftest import PATIENCE_MS, Camera, TrueHand, Watched, number_of

FINGER_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55ea0")
pytestmark = pytest.mark.timeout(600)  # the first test renders what the camera shows

# Counts frames as hand-stream.js does: an answer is the end of all frames before it, too. encoding: on their way there.
COUNT_FLIGHTS = """() => {
  window.flights = { now: 0, most: 0, sent: 0, encoding: 0 };
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      Object.assign(flights, { now: 0, sent: 0 });
      this.addEventListener("message", ({ data }) => {
        const { frame } = JSON.parse(data);
        if (Number.isInteger(frame)) flights.now = flights.sent - frame - 1;
      });
    }
    send(data) {
      super.send(data);
      if (typeof data === "string") return;
      flights.sent += 1;
      flights.now += 1;
      flights.most = Math.max(flights.most, flights.now);
    }
  };
  const { prototype } = OffscreenCanvas;
  const convert = prototype.convertToBlob;
  prototype.convertToBlob = function (...given) {
    flights.encoding += 1;
    return convert.apply(this, given).finally(() => { flights.encoding -= 1; });
  };
}"""
# No new frames, so that what is seen can be held against what was answered.
FREEZE = """() => {
  const { prototype } = HTMLVideoElement;
  window.plain ??= prototype.requestVideoFrameCallback;
  window.halted = null;
  prototype.requestVideoFrameCallback = function (callback) { halted = [this, callback]; return 0; };
}"""
THAW = """() => {
  const [video, callback] = halted;
  HTMLVideoElement.prototype.requestVideoFrameCallback = plain;
  video.requestVideoFrameCallback(callback);
}"""
QUIET = "() => halted && flights.encoding === 0 && flights.now === 0"
LISTED = """() => {
  const shown = [...document.querySelectorAll(".hand strong")].map((one) => parseInt(one.textContent));
  const answered = drawn.at(-1).answer.hands.map((hand) => hand.track_id);
  return shown.sort().join() === answered.sort().join();
}"""


def freeze(watched: Watched) -> None:
    """No more frames once one with a hand is drawn: it is the last in `drawn`, and listed. Needs `COUNT_FLIGHTS`."""
    for _ in range(20):
        watched.wait_for("() => drawn.at(-1)?.answer.hands.length > 0")
        watched.page.evaluate(FREEZE)
        watched.wait_for(QUIET)
        if watched.page.evaluate("() => drawn.at(-1).answer.hands.length > 0"):
            watched.wait_for(LISTED)
            return
        watched.page.evaluate(THAW)
    pytest.fail("the last frame never shows a hand")


@pytest.fixture
def live(visit: Callable[..., Watched], browser: Browser) -> Watched:
    """The page with its camera on and the first hands drawn."""
    watched = visit(browser)
    watched.page.evaluate(COUNT_FLIGHTS)
    watched.page.click("#begin")
    watched.wait_for_state("live")
    return watched


def points_of(hand: dict[str, Any]) -> NDArray[np.float64]:
    """(21, 2) pixels."""
    return np.array([(point["x"], point["y"]) for point in hand["keypoints"]])


def errors_of(hand: dict[str, Any], truth: TrueHand) -> NDArray[np.float64]:
    """How far each keypoint is off, (21,), in units of the larger side of the hand's box."""
    return np.linalg.norm(points_of(hand) - truth.keypoints, axis=1) / truth.box[2:].max()


def match(found: list[dict[str, Any]], truths: list[TrueHand]) -> list[tuple[dict[str, Any], TrueHand]]:
    """Each found hand with the true one nearest to it."""
    return [(hand, min(truths, key=lambda truth: errors_of(hand, truth).mean())) for hand in found]


def test_the_skeleton_is_on_the_hands_of_the_very_frame_it_is_drawn_on(live: Watched, camera: Camera) -> None:
    live.wait_for("() => drawn.some(({ answer }) => answer.hands.length === 2)")
    drawn = live.drawn()
    while len(drawn[0]["answer"]["hands"]) < 2:  # the first frames of a camera may show none
        drawn.pop(0)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while len(drawn) < 10 or len({number_of(one["levels"]) for one in drawn}) < 4:
        assert time.monotonic() < deadline, "the camera stands still"
        live.page.wait_for_timeout(50)
        drawn += live.drawn()
    numbers = [number_of(one["levels"]) for one in drawn]
    assert {(one["width"], one["height"]) for one in drawn} == {(640, 480)}
    right, sides, found = [], [], 0
    for one, number in zip(drawn, numbers, strict=True):
        pairs = match(one["answer"]["hands"], camera.frames[number])
        found += len(pairs)
        right += [(errors_of(hand, truth) < 0.15).mean() for hand, truth in pairs]
        sides += [hand["handedness"]["label"] == truth.handedness for hand, truth in pairs]
    assert found >= 1.5 * len(drawn)
    assert np.mean(right) >= 0.85
    assert np.mean(sides) >= 0.75


def test_hands_keep_their_numbers_and_are_listed(live: Watched) -> None:
    live.wait_for("() => drawn.filter(({ answer }) => answer.hands.length === 2).length >= 4")
    freeze(live)
    texts = live.page.locator(".hand strong").all_inner_texts()
    ids = {hand["track_id"] for one in live.drawn() for hand in one["answer"]["hands"]}
    assert len(ids) <= 3
    assert texts
    assert {text.split()[0] for text in texts} <= set(map(str, ids))
    first = live.page.locator(".hand").first
    first.click()
    assert first.get_attribute("aria-pressed") == "true"


def test_at_most_two_frames_are_under_way(live: Watched) -> None:
    live.wait_for("() => drawn.length >= 6")
    flights = live.page.evaluate("() => flights")
    assert flights["sent"] >= 6
    assert 1 <= flights["most"] <= 2


# All at one moment, once those that take an answer or two are there.
FIGURES = """() => {
  const names = ["rate", "trip", "dropped", "frames", "detect", "pose"];
  const texts = Object.fromEntries(names.map((name) => [name, document.getElementById(`figure-${name}`).innerText]));
  return ["rate", "detect", "pose"].every((name) => parseFloat(texts[name]) > 0) && texts;
}"""


def test_the_figures_are_those_of_the_stream(live: Watched) -> None:
    live.wait_for("() => drawn.length >= 5")
    figures = live.wait_for(FIGURES)
    total = figures["frames"]
    trips = [one["answer"]["roundTripMs"] for one in live.drawn()]
    assert float(figures["rate"]) > 0
    assert min(trips) * 0.9 <= float(figures["trip"].removesuffix(" ms")) <= max(trips) * 1.1
    assert float(figures["detect"].removesuffix(" ms")) > 0
    assert float(figures["pose"].removesuffix(" ms")) > 0
    dropped, of = int(figures["dropped"].replace(",", "")), int(total.split()[1].replace(",", ""))
    assert dropped < of
    live.page.click("#stop")
    assert not live.page.is_visible("#figures")  # there are none


@pytest.mark.parametrize("mirrored", [True, False])
def test_the_overlay_is_seen_where_the_fingers_are(live: Watched, camera: Camera, mirrored: bool) -> None:
    """A camera is shown as a mirror, and the frames are sent as they are: left stays left."""
    page = live.page
    assert page.is_checked("#mirror"), "people expect a mirror"
    page.set_checked("#mirror", mirrored)
    page.uncheck("#show-boxes")
    live.drawn()
    freeze(live)
    last = live.drawn()[-1]
    assert last["mirrored"] == mirrored
    screen = PillowImage.open(BytesIO(page.screenshot())).convert("RGB")
    canvas = page.locator("#canvas").bounding_box()
    assert canvas is not None
    scale = canvas["width"] / last["answer"]["image"]["width"]
    pixels = np.asarray(screen).astype(int)
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in FINGER_COLOURS])
    assert last["answer"]["hands"]
    for hand in last["answer"]["hands"]:
        points = points_of(hand)
        if mirrored:
            points[:, 0] = last["answer"]["image"]["width"] - points[:, 0]
        shown = (points * scale + (canvas["x"], canvas["y"])).round().astype(int)
        for index, (x, y) in enumerate(shown[1:]):  # the wrist is white
            near = pixels[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)
            assert abs(near - colours[index // 4]).max(axis=1).min() <= 24, (hand["track_id"], index + 1)
    truths = camera.frames[number_of(last["levels"])]
    for hand, truth in match(last["answer"]["hands"], truths):
        assert errors_of(hand, truth).mean() < 0.15


def test_it_goes_on_when_the_service_comes_back(
    visit: Callable[..., Watched], browser: Browser, start_server: Callable[..., Any]
) -> None:
    running = start_server()
    port = running.url.rsplit(":", 1)[1]
    watched = visit(browser, url=running.url)
    watched.allowed = ("WebSocket connection to",)  # what a browser logs of every failed attempt
    page = watched.page
    page.click("#begin")
    watched.wait_for_state("live")
    running.stop()
    watched.wait_for_state("away")
    assert "Not connected to the service" in page.inner_text("#notice")
    assert not page.is_visible("#canvas"), "an old skeleton stays on the moving picture"
    assert page.is_visible("#video")
    watched.drawn()
    start_server("--port", port)
    watched.wait_for_state("live")
    watched.wait_for("() => drawn.length >= 3")
    assert not page.is_visible("#notice")
    assert watched.drawn()[0]["answer"]["frame"] <= 2, "frames of the new connection are counted from 0"


def test_the_camera_goes_out_when_nobody_looks(live: Watched) -> None:
    page = live.page
    page.evaluate("() => { window.track = video.srcObject.getVideoTracks()[0]; }")
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    assert page.evaluate("() => track.readyState") == "ended"
    live.wait_for_state("empty")
    page.evaluate(hide, False)
    live.wait_for_state("live")
    page.evaluate("() => { window.track = video.srcObject.getVideoTracks()[0]; }")
    page.check("[value=photo]")
    assert page.evaluate("() => track.readyState") == "ended"
    assert page.evaluate("() => video.srcObject") is None
    page.evaluate(hide, True)
    page.evaluate(hide, False)
    assert page.get_attribute("#stage", "data-state") == "empty", "the camera came back in photo mode"


def test_options_change_while_it_runs(live: Watched) -> None:
    page = live.page
    live.wait_for("() => drawn.some(({ answer }) => answer.hands.length === 2)")
    page.fill("[name=max_hands]", "1")
    live.wait_for("() => drawn.length && drawn.at(-1).answer.hands.length === 1")
    page.fill("[name=min_score]", "1")
    live.wait_for("() => drawn.at(-1).answer.hands.length === 0")
    live.page.wait_for_selector("#status:has-text('No hand found')")


def test_an_option_that_is_refused_spoils_no_other(
    visit: Callable[..., Watched], browser: Browser, start_server: Callable[..., Any]
) -> None:
    running = start_server("--max-hands", "2")
    port = running.url.rsplit(":", 1)[1]
    watched = visit(browser, url=running.url)
    watched.allowed = ("WebSocket connection to",)  # what a browser logs of every failed attempt
    page = watched.page
    page.click("#begin")
    watched.wait_for("() => drawn.length && drawn.at(-1).answer.hands.length")
    page.fill("[name=max_hands]", "3")
    page.wait_for_selector("#error:has-text('max_hands: at most 2')")
    page.fill("[name=min_score]", "1")
    watched.wait_for("() => drawn.at(-1).answer.hands.length === 0")
    page.wait_for_selector("#error:has-text('max_hands: at most 2')")
    running.stop()
    watched.wait_for_state("away")
    start_server("--port", port, "--max-hands", "2")
    watched.wait_for_state("live")
    assert watched.drawn()[-1]["answer"]["hands"] == [], "what was taken is asked for again"
    page.fill("[name=max_hands]", "2")
    page.wait_for_selector("#error", state="hidden")


def test_a_keyboard_is_enough(visit: Callable[..., Watched], browser: Browser) -> None:
    watched = visit(browser)
    page = watched.page
    page.evaluate(COUNT_FLIGHTS)

    def press_until(key: str, focused: str) -> None:
        for _ in range(30):
            page.keyboard.press(key)
            if page.evaluate("(selector) => document.activeElement.matches(selector)", focused):
                return
        pytest.fail(f"{focused} cannot be reached with {key}")

    press_until("Tab", "[name=mode]")
    page.keyboard.press("ArrowRight")
    assert page.is_checked("[value=video]")
    page.keyboard.press("ArrowLeft")
    assert page.is_checked("[value=camera]")
    press_until("Tab", "#begin")
    page.keyboard.press("Enter")
    watched.wait_for_state("live")
    assert page.evaluate("() => document.activeElement.id") == "stop"
    press_until("Tab", "#mirror")
    page.keyboard.press("Space")
    assert not page.is_checked("#mirror")
    freeze(watched)  # with a hand in the list, which then stays there
    press_until("Tab", ".hand")
    page.keyboard.press("Enter")
    press_until("Shift+Tab", "#stop")
    page.keyboard.press("Enter")
    watched.wait_for_state("empty")
    assert page.evaluate("() => document.activeElement.id") == "begin"
