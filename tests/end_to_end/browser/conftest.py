"""Chromium as people have it, a rendered hand for its camera, and a page that is watched for what must not happen."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.sequence import HandSequence, SequenceFrame
from training.datasets.synthetic.video import write_camera_file

FLAGS = (
    "--headless",
    "--no-sandbox",  # it runs as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FRAMES = 10
SEED = 8  # a left and a right hand that wave; no finger's dots come near another's, so all of the overlay is seen
BITS, BIT_PIXELS = 6, 16  # the number of a frame is written into its corner: five bits and their parity
PATIENCE_MS = 30_000
GIVEN_UP = (
    "WebSocket is closed before the connection is established"  # said of one nobody waited for: no fault
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program. Skips the tests where there is none; fails them where `CI` is set, which promises one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    words = "no Chromium found: the page is not tested (apt-get install chromium)"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


class NumberedSequence(HandSequence):
    """A sequence whose frames carry their number, so that an answer can be held against the right labels."""

    def __getitem__(self, index: int) -> SequenceFrame:
        frame = super().__getitem__(index)
        for bit, value in enumerate(bits_of(index)):
            frame.picture.image[:BIT_PIXELS, bit * BIT_PIXELS : (bit + 1) * BIT_PIXELS] = 255 * value
        return frame


def bits_of(index: int) -> list[int]:
    """The bits of a frame's number, lowest first, then one that makes the number of ones odd."""
    bits = [index >> bit & 1 for bit in range(BITS - 1)]
    return [*bits, 1 - sum(bits) % 2]


def number_of(levels: list[float]) -> int:
    """The number in a frame's corner, from the brightness of its bits, 0 to 255. Raises ValueError when damaged."""
    bits = [int(level > 127) for level in levels]
    number = sum(bit << place for place, bit in enumerate(bits[:-1]))
    if bits != bits_of(number) or not all(level < 80 or level > 175 for level in levels):
        raise ValueError(f"{levels} is no number of a frame")
    return number


@dataclass(frozen=True)
class TrueHand:
    """box: x, y, width, height. keypoints: (21, 2), both in pixels of the frame."""

    handedness: str
    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """A file that Chromium takes for a camera, and the hands in each of its frames by the frame's number."""

    path: Path
    frames: list[list[TrueHand]]


@pytest.fixture(scope="session")
def camera(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Camera:
    """Two waving hands, rendered; not without the browser that is to see them."""
    frames: dict[int, list[TrueHand]] = {}

    class Kept(NumberedSequence):
        def __getitem__(self, index: int) -> SequenceFrame:
            frame = super().__getitem__(index)
            frames[index] = [TrueHand(h.handedness, h.box, h.keypoints) for h in frame.picture.hands]
            return frame

    path = tmp_path_factory.mktemp("camera") / "hands.mjpeg"
    write_camera_file(Kept(SEED, Backgrounds([]), hands=2, frames=FRAMES, script=("wave",)), path)
    return Camera(path, [frames[index] for index in range(FRAMES)])


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """For one module: as long as it runs, no other event loop can run in this thread."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def launch(chromium: str, playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Starts browsers, each with an empty profile: `launch("--use-fake-ui-for-media-stream=deny")`."""
    started: list[Browser] = []

    def start(*flags: str) -> Browser:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
        started.append(browser)
        return browser

    yield start
    for browser in started:
        browser.close()


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser], camera: Camera) -> Browser:
    """One whose camera shows the rendered hands, and which gives it to every page."""
    return launch(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera.path}",
    )


# Collects every answer that is drawn, with the number in the corner of the frame that was looked at.
COLLECT = """([bits, side]) => {
  window.drawn = [];
  const pen = new OffscreenCanvas(bits * side, side).getContext("2d", { willReadFrequently: true });
  addEventListener("hands", ({ detail: { answer, picture, mirrored } }) => {
    pen.drawImage(picture, 0, 0);
    const { data } = pen.getImageData(0, side / 2, bits * side, 1);
    const levels = Array.from({ length: bits }, (_, bit) => data[4 * (bit * side + side / 2)]);
    window.drawn.push({ levels, answer, mirrored, width: picture.width, height: picture.height });
  });
}"""


@dataclass
class Watched:
    """A page under test, and what it must not do: complain, break its policy, go elsewhere.

    allowed: texts of which one may stand in a complaint.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def watch(self) -> None:
        page = self.page
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._check(request.url))
        page.on("websocket", lambda socket: self._check(socket.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "warning" and GIVEN_UP in text:
            return
        if kind in ("error", "warning") or "Content Security Policy" in text:
            self.complaints.append(f"{kind}: {text}")

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and parts.netloc != urlsplit(self.url).netloc:
            self.complaints.append(f"request to {url}")

    def check(self) -> None:
        bad = [text for text in self.complaints if not any(part in text for part in self.allowed)]
        assert not bad

    def open(self, mode: str = "") -> None:
        self.page.goto(f"{self.url}/{mode and '#' + mode}")
        self.page.wait_for_selector("#begin:not(:empty)")
        self.page.evaluate(COLLECT, [BITS, BIT_PIXELS])

    def wait_for_state(self, state: str) -> None:
        """Wait until the stage shows this (`stage.js` says what there is)."""
        self.page.wait_for_selector(f"#stage[data-state={state}]")

    def drawn(self) -> list[dict[str, Any]]:
        """Every answer drawn since the page was opened or this was last called."""
        answers: list[dict[str, Any]] = self.page.evaluate("() => drawn.splice(0)")
        return answers

    def drawn_from(self, frames: range) -> tuple[dict[str, Any], int]:
        """Wait until one of these frames is drawn. Returns what was drawn and the frame's number."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < deadline:
            for one in self.drawn():
                if (number := number_of(one["levels"])) in frames:
                    return one, number
            self.page.wait_for_timeout(50)
        pytest.fail(f"none of the frames {frames} was drawn")

    def wait_for(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true; the page's policy forbids Playwright's own way."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() < deadline, f"still not: {expression}"
            self.page.wait_for_timeout(50)
        return value


@pytest.fixture
def visit(server: Any, start_server: Any) -> Iterator[Callable[..., Watched]]:
    """Opens pages in new windows: `visit(browser, mode="photo", width=390)`; they are checked at the end, before any
    server of `start_server` ends.
    """
    opened: list[Watched] = []

    def start(
        browser: Browser, *, url: str = "", mode: str = "", width: int = 1000, **options: Any
    ) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": 700}, **options)
        watched = Watched(context.new_page(), (url or server.url).rstrip("/"))
        watched.watch()
        opened.append(watched)
        watched.open(mode)
        return watched

    yield start
    for watched in opened:
        watched.page.context.close()
    for watched in opened:
        watched.check()


@pytest.fixture(scope="module")
def run(launch: Callable[..., Browser], server: Any, request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Runs the body of an asynchronous function in a page of the service that the module's `SET_UP` has made ready."""
    page = launch().new_page()
    page.goto(f"{server.url}/docs")
    page.evaluate(request.module.SET_UP, server.url)
    return lambda body: page.evaluate(f"async () => {{ {body} }}")
