"""What the page says when there is no camera to be had, and when there are several."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser

from tests.end_to_end.browser.conftest import Watched

FAKE_DEVICE = "--use-fake-device-for-media-stream"
ALLOW = "--use-fake-ui-for-media-stream"


def refused(watched: Watched) -> str:
    """Ask for the camera; what the page says."""
    watched.page.click("#begin")
    watched.page.wait_for_selector("#error:visible")
    watched.wait_for_state("empty")
    assert watched.page.is_enabled("#begin")
    return watched.page.inner_text("#error")


def test_it_says_that_the_camera_was_refused(
    launch: Callable[..., Browser], visit: Callable[..., Watched]
) -> None:
    watched = visit(launch(FAKE_DEVICE, f"{ALLOW}=deny"))
    assert "denied" in refused(watched)
    assert watched.page.is_visible("#error button:has-text('Try again')")


def test_it_says_that_there_is_no_camera_or_no_safe_way_to_it(
    launch: Callable[..., Browser], visit: Callable[..., Watched], server: Any
) -> None:
    port = urlsplit(server.url).port
    browser = launch(f"{FAKE_DEVICE}=device-count=0", ALLOW, "--host-resolver-rules=MAP hands.test 127.0.0.1")
    assert "No camera was found" in refused(visit(browser))
    assert "https" in refused(visit(browser, url=f"http://hands.test:{port}"))


def test_a_camera_can_be_chosen_and_can_be_lost(
    launch: Callable[..., Browser], visit: Callable[..., Watched]
) -> None:
    watched = visit(launch(f"{FAKE_DEVICE}=device-count=2", ALLOW))
    page = watched.page
    page.click("#begin")
    watched.wait_for_state("live")
    page.wait_for_selector("#cameras option:nth-child(2)", state="attached")
    used = "() => video.srcObject?.getVideoTracks()[0].getSettings().deviceId"
    before = page.evaluate(used)
    other = next(
        value
        for value in page.eval_on_selector_all("#cameras option", "all => all.map((one) => one.value)")
        if value != before
    )
    page.select_option("#cameras", other)
    watched.wait_for_state("live")
    assert page.evaluate(used) == other
    page.evaluate("() => { video.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended')); }")
    page.wait_for_selector("#error:has-text('camera is gone')")
    watched.wait_for_state("empty")
    for name, words in {"NotReadableError": "busy", "TypeError": "could not be started"}.items():
        page.evaluate(
            "(name) => { navigator.mediaDevices.getUserMedia = async () => {"
            " throw Object.assign(new Error('so it is'), { name }); }; }",
            name,
        )
        assert words in refused(watched)


def test_what_comes_late_for_a_camera_that_was_given_up_changes_nothing(
    launch: Callable[..., Browser], visit: Callable[..., Watched]
) -> None:
    watched = visit(launch(FAKE_DEVICE, ALLOW))
    page = watched.page
    page.evaluate("""() => {
      const { mediaDevices } = navigator, open = mediaDevices.getUserMedia.bind(mediaDevices);
      mediaDevices.getUserMedia = () => new Promise((_, reject) => {
        window.refuse = () => reject(Object.assign(new Error("no"), { name: "NotAllowedError" }));
        mediaDevices.getUserMedia = open;
      });
    }""")
    page.click("#begin")
    page.check("[value=video]")
    page.check("[value=camera]")
    page.click("#begin")
    watched.wait_for_state("live")
    page.evaluate("() => refuse()")
    page.wait_for_timeout(100)
    assert page.get_attribute("#stage", "data-state") == "live"
    assert not page.is_visible("#error")
    page.click("#stop")
    page.evaluate("() => { video.play = () => new Promise((done) => { window.played = done; }); }")
    page.click("#begin")
    watched.wait_for("() => 'played' in window")
    page.check("[value=photo]")
    page.evaluate("() => played()")
    page.wait_for_timeout(100)
    assert page.get_attribute("#stage", "data-state") == "empty"


def test_it_says_why_the_service_takes_no_stream(
    launch: Callable[..., Browser], visit: Callable[..., Watched], start_server: Callable[..., Any]
) -> None:
    busy = start_server("--max-streams", "0")
    watched = visit(launch(FAKE_DEVICE, ALLOW), url=busy.url)
    watched.page.click("#begin")
    watched.wait_for_state("away")
    watched.page.wait_for_selector("#notice:has-text('The service is busy')")
    watched.page.wait_for_selector("#retry")  # gone for as long as an attempt is under way
