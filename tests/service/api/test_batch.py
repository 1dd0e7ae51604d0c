import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.api.schemas import BatchAnswer
from service.inference.pipeline import Pipeline

RED, MAGENTA = (255, 0, 0), (255, 0, 255)
Make = Callable[..., Any]


def post(client: Any, *images: Any, **options: Any) -> Any:
    """Send a batch: the bytes of pictures, or (name, bytes)."""
    parts = [image if isinstance(image, tuple) else (None, image) for image in images]
    files = [("images", (name or "", data)) for name, data in parts]
    return client.post("/v1/pose/batch", files=files, **options)


@pytest.fixture
def photos(draw: Make, encode: Make) -> list[bytes]:
    """A right hand, no hand, a left hand."""
    rectangles = ([(100, 60, 50, 80, RED)], [], [(30, 40, 60, 60, MAGENTA)])
    return [encode(draw(320, 240, *some)) for some in rectangles]


def test_one_result_for_each_picture_in_order(client: Any, photos: list[bytes]) -> None:
    response = post(client, ("right.png", photos[0]), photos[1], ("link ü.png", photos[2]))
    assert response.status_code == 200
    results = response.json()["results"]
    BatchAnswer.model_validate(response.json(), strict=True)
    assert [result["index"] for result in results] == [0, 1, 2]
    assert [result["name"] for result in results] == ["right.png", None, "link ü.png"]
    assert [[hand["handedness"]["label"] for hand in r["hands"]] for r in results] == [
        ["right"],
        [],
        ["left"],
    ]


def test_each_result_is_what_the_picture_gets_alone(client: Any, photos: list[bytes]) -> None:
    together = post(client, *photos, params={"min_score": 0.3, "mirrored": True}).json()["results"]
    for result, photo in zip(together, photos, strict=True):
        alone = client.pose(photo, params={"min_score": 0.3, "mirrored": True}).json()
        assert result.keys() == alone.keys() | {"index", "name"}
        for name in ("hands", "image", "models"):
            assert result[name] == alone[name]


def test_a_parameter_may_not_be_repeated(client: Any, photos: list[bytes]) -> None:
    response = post(client, *photos, params={"max_hands": ["2", "1"]})
    assert response.status_code == 422
    assert response.json()["detail"] == "max_hands is given more than once."


def test_a_bad_picture_fails_alone(make_client: Make, photos: list[bytes]) -> None:
    client = make_client(max_bytes=4096, max_pixels=320 * 240)
    bad = [b"", b"hello", photos[0][:-20], bytes(5000)]
    results = post(client, photos[0], *bad, photos[2]).json()["results"]
    assert [r["error"]["status"] if "error" in r else 200 for r in results] == [200, 422, 415, 422, 413, 200]
    for result, data in zip(results[1:4], bad, strict=False):
        assert result["error"] == client.pose(data).json()


def test_a_fault_of_ours_stays_with_its_picture(
    make_client: Make, photos: list[bytes], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    run, calls = pipeline.run, iter(range(3))

    def fail_once(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise RuntimeError("a bug with secrets in it")
        return run(*arguments, **options)

    client = make_client()
    monkeypatch.setattr(pipeline, "run", fail_once)
    with caplog.at_level(logging.ERROR):
        response = post(client, *photos)
    assert sorted(r["error"]["status"] if "error" in r else 200 for r in response.json()["results"]) == [
        200,
        200,
        500,
    ]
    assert "secrets" not in response.text
    assert "a bug with secrets in it" in caplog.text
    assert 'handpose_faults_total{route="/v1/pose/batch"} 1.0' in client.get("/metrics").text


def test_pictures_use_all_threads(make_client: Make, photos: list[bytes], pipeline: Pipeline) -> None:
    client = make_client(threads=3)
    barrier, detect = threading.Barrier(3), pipeline.detector_engine

    class Together:
        input_size, flexible = detect.input_size, False

        def __call__(self, images: Any) -> Any:
            barrier.wait(30)  # breaks unless three pictures are worked on at once
            return detect(images)

    pipeline.detector_engine = Together()
    assert [len(r["hands"]) for r in post(client, *photos).json()["results"]] == [1, 0, 1]


def test_a_limit_on_pictures(make_client: Make, photos: list[bytes]) -> None:
    client = make_client(max_batch_images=2)
    assert post(client, *photos[:2]).status_code == 200
    response = post(client, *photos)
    assert response.status_code == 413
    assert "may have at most 2 pictures" in response.json()["detail"]
    assert post(make_client(queue_size=1), *photos).status_code == 413, "so many could never wait at once"


def test_a_limit_on_bytes(make_client: Make, photos: list[bytes]) -> None:
    client = make_client(max_batch_bytes=2048)
    assert post(client, photos[0]).status_code == 200
    response = post(client, photos[0], bytes(2048))
    assert response.status_code == 413
    assert "2048 bytes" in response.json()["detail"]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"files": {"image": b"x"}}, 422, "the only one is images"),
        ({"files": {"images": b"x", "max_hands": b"2"}}, 422, "'max_hands'"),
        ({"content": b"x", "headers": {"Content-Type": "image/png"}}, 415, "-F images=@a.jpg"),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, "cut off"),
        (
            {"content": b"--x--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            422,
            "images",
        ),
        ({"files": {"images": b"x"}, "params": {"max_hands": 0}}, 422, "max_hands"),
        ({"files": {"images": b"x"}, "params": {"key": "x"}}, 422, "no parameter key"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(client: Any, options: Any, status: int, words: str) -> None:
    response = client.post("/v1/pose/batch", **options)
    assert response.status_code == status
    assert words in response.json()["detail"]


class Gate:
    """A detector that waits until it may."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._detect = pipeline.detector_engine
        self.input_size, self.flexible = self._detect.input_size, False
        self.reached, self.open = threading.Semaphore(0), threading.Event()
        self.seen = 0

    def __call__(self, images: Any) -> Any:
        self.seen += 1
        self.reached.release()
        assert self.open.wait(30)
        return self._detect(images)


def test_without_room_for_all_none_is_taken(
    make_client: Make, photos: list[bytes], pipeline: Pipeline
) -> None:
    client = make_client(threads=1, queue_size=3)
    gate = Gate(pipeline)
    pipeline.detector_engine = gate
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, client, *photos[:2])
        assert gate.reached.acquire(timeout=30)
        response = post(client, *photos)  # two of the four places are taken
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        gate.open.set()
        assert running.result().status_code == 200
        assert gate.seen == 2
    assert [len(r["hands"]) for r in post(client, *photos).json()["results"]] == [1, 0, 1]


def test_a_full_queue_refuses_a_batch(make_client: Make, photos: list[bytes], pipeline: Pipeline) -> None:
    client = make_client(threads=1, queue_size=0)
    gate = Gate(pipeline)
    pipeline.detector_engine = gate
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.pose, photos[0])
        assert gate.reached.acquire(timeout=30)
        assert post(client, photos[0]).status_code == 503
        gate.open.set()
        assert running.result().status_code == 200
    assert post(client, photos[0]).status_code == 200


def test_every_picture_is_in_the_figures(client: Any, photos: list[bytes]) -> None:
    post(client, *photos, b"no picture")
    assert "handpose_hands_count 3.0" in client.get("/metrics").text
