"""Photograph the page with its camera on: `python -m tests.end_to_end.browser.screenshot docs/live.jpg`."""

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.end_to_end.browser.conftest import FLAGS, SEED
from tests.end_to_end.conftest import Server
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.sequence import HandSequence
from training.datasets.synthetic.video import write_camera_file

WARM_UP_MS = 6000  # until the figures are those of a stream that has run for a while
NAME = "() => { document.querySelector('#cameras option').textContent = 'Front camera'; }"


def photograph(target: Path, camera: Path) -> None:
    """Write a JPEG of the page at work. Raises FileNotFoundError where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise FileNotFoundError("no Chromium found (apt-get install chromium)")
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    flags = [*FLAGS, *fake, f"--use-file-for-fake-video-capture={camera}"]
    server = Server(Path.cwd())
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_context(
                viewport={"width": 1180, "height": 800}, device_scale_factor=1.5
            ).new_page()
            page.goto(server.url)
            page.click("#begin")
            page.wait_for_selector("[data-state=live]")
            page.wait_for_timeout(WARM_UP_MS)
            page.evaluate(NAME)
            page.screenshot(path=target, type="jpeg", quality=82)
            browser.close()
    finally:
        server.stop()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the JPEG to write")
    target = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "hands.mjpeg"
        write_camera_file(HandSequence(SEED, Backgrounds([]), hands=2, frames=24, script=("wave",)), camera)
        photograph(target, camera)


if __name__ == "__main__":
    main()
