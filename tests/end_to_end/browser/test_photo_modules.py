"""Modules of the page by themselves, in a browser: `photo.js` and `hand-client.js` against a service that does what the
test says, `draw.js` on made-up answers.
"""

from collections.abc import Callable
from typing import Any

import pytest

SET_UP = """async (root) => {
  const { Photo } = await import(`${root}/photo.js`);
  const { findHands } = await import(`${root}/hand-client.js`);
  const { drawHands } = await import(`${root}/draw.js`);
  Object.assign(window, { Photo, findHands, drawHands });
  window.pause = (ms) => new Promise((done) => setTimeout(done, ms));
}"""

# `decoding` has a function for each picture that is being decoded, `closed` the pictures that were let go.
FAKE_PICTURES = """
  window.fetch = async () => Response.json({ hands: [] });
  const closed = [], decoding = [];
  window.createImageBitmap = () => new Promise((done) => {
    const picture = { number: decoding.length, close: () => closed.push(picture.number) };
    decoding.push(() => done(picture));
  });
  const until = async (count) => { while (decoding.length < count) await pause(1); };"""


def test_pictures_that_were_overtaken_are_let_go(run: Callable[[str], Any]) -> None:
    answered, closed = run(f"""{FAKE_PICTURES}
      const photo = new Photo(), answered = [];
      photo.addEventListener("answer", ({{ detail }}) => answered.push(detail.picture.number));
      const first = photo.take(new Blob(["a"]), {{}});
      await until(1);
      const second = photo.take(new Blob(["b"]), {{}});
      await until(2);
      const third = photo.ask({{}});
      await until(3);
      decoding.forEach((done) => done());
      await Promise.all([first, second, third]);
      await photo.ask({{}}); // about the picture that is there
      return [answered, closed];""")
    assert answered == [2, 2]
    assert closed == [0, 1]


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ('new Response("<h1>Welcome</h1>")', 200, "The response is not from a handpose service."),
        ("Response.json(null)", 200, "The response is not from a handpose service."),
        (
            "new Response(new ReadableStream({ start: (it) => it.error(new TypeError()) }))",
            0,
            "The service cannot be reached. Is it still running?",
        ),
        ("Response.json(null, { status: 503 })", 503, "The service is busy."),
        (
            'Response.json({ detail: "It is cut off." }, { status: 422 })',
            422,
            "The photo could not be read. It is cut off.",
        ),
        (
            'Response.json({ detail: "max_hands: too many", errors: [{ name: "max_hands" }] }, { status: 422 })',
            422,
            "max_hands: too many",
        ),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(
    run: Callable[[str], Any], answer: str, status: int, message: str
) -> None:
    error = run(f"""
      window.fetch = async () => {answer};
      return findHands(new Blob(["a"])).catch(({{ name, status, message }}) => [name, status, message]);""")
    assert error == ["HandError", status, message]


def test_a_file_that_cannot_be_read_is_no_fault_of_the_service(run: Callable[[str], Any]) -> None:
    message = run("""
      const photo = new Photo(), folder = new Blob(["a"]);
      folder.arrayBuffer = () => Promise.reject(new DOMException("no file", "NotFoundError"));
      const failed = new Promise((done) => photo.addEventListener("failed", ({ detail }) => done(detail.message)));
      photo.take(folder, {});
      return failed;""")
    assert message == "The file cannot be read. Is it a folder, or was it moved?"


@pytest.mark.parametrize("mirrored", ["false", "true"])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (290, 210), (290, 0), (0, 210)])
def test_words_stay_in_the_picture(run: Callable[[str], Any], x: int, y: int, mirrored: str) -> None:
    places = run(f"""
      const canvas = document.createElement("canvas"), picture = new OffscreenCanvas(320, 240);
      picture.getContext("2d");
      const keypoints = Array(21).fill({{ name: "middle_tip", x: {x} + 28, y: {y} + 15, score: 1 }});
      const box = {{ x: {x}, y: {y}, width: 30, height: 30 }};
      const hand = {{ box, keypoints, score: 0.9, handedness: {{ label: "right" }} }};
      const words = [], pen = canvas.getContext("2d", {{ alpha: false }});
      pen.fillText = (text, left, middle) => words.push([left, middle, pen.measureText(text).width]);
      const answer = {{ image: picture, hands: [hand] }};
      drawHands(canvas, picture, answer, {{ boxes: true, names: true, mirrored: {mirrored}, shown: 320 }});
      return words;""")
    assert len(places) == 22
    for left, middle, width in places:
        assert 0 <= left <= left + width <= 320
        assert 0 <= middle <= 240


def test_a_very_large_photo_is_drawn_on_a_canvas_that_phones_have(run: Callable[[str], Any]) -> None:
    """As the largest that a phone's camera takes, and one that is not too large."""
    sizes = run("""
      return [[8064, 6048], [4000, 3000]].map(([width, height]) => {
        const canvas = document.createElement("canvas");
        canvas.getContext("2d", { alpha: false }).drawImage = () => undefined;
        drawHands(canvas, { width, height }, { image: { width, height }, hands: [] }, { shown: 360 });
        return [canvas.width, canvas.height];
      });""")
    assert 16_000_000 < sizes[0][0] * sizes[0][1] <= 4096 * 4096
    assert sizes[0][0] / sizes[0][1] == pytest.approx(8064 / 6048, rel=0.001)
    assert sizes[1] == [4000, 3000]
