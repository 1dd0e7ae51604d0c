import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PillowImage

from service.api.places import Budget
from service.api.schemas import PoseAnswer
from service.inference.pipeline import Pipeline
from service.models.keypoints import KEYPOINT_NAMES

RED, MAGENTA = (255, 0, 0), (255, 0, 255)


def test_the_answer_is_what_openapi_says(client, photo: bytes) -> None:
    response = client.pose(photo)
    assert response.headers["content-type"] == "application/json"
    answer = PoseAnswer.model_validate(response.json(), strict=True)
    assert (answer.image.width, answer.image.height) == (320, 240)
    (hand,) = answer.hands
    assert [k.name for k in hand.keypoints] == list(KEYPOINT_NAMES)
    assert (hand.keypoints[0].x, hand.keypoints[0].y) == pytest.approx((100, 60), abs=2)
    assert (hand.keypoints[20].x, hand.keypoints[20].y) == pytest.approx((150, 140), abs=2)
    box = hand.box
    # Half of what hands reach beyond the wrist, 5.6 px, and beyond a fingertip, 1.8 px, and the detector's pixels.
    assert (box.x, box.y) == pytest.approx((94.4, 54.4), abs=3)
    assert (box.width, box.height) == pytest.approx((57.4, 87.4), abs=3)
    assert hand.handedness.label == "right"
    assert answer.models.model_dump() == {"detector": "fake-detector 1", "pose": "fake-pose 1"}


def test_timing_adds_up(client, photo: bytes) -> None:
    response = client.pose(photo)
    timing = response.json()["timing_ms"]
    parts = sum(timing[step] for step in ("decode", "queue", "detect", "pose"))
    assert 0 < parts <= timing["total"] + 0.01
    assert "detect;dur=" in response.headers["server-timing"]


def test_max_hands_min_score_and_mirrored_reach_the_pipeline(
    client, draw: Callable, encode: Callable
) -> None:
    picture = encode(draw(320, 240, (20, 60, 50, 80, RED), (200, 60, 50, 80, MAGENTA)))
    hands = client.pose(picture).json()["hands"]
    assert [h["score"] for h in hands] == sorted((h["score"] for h in hands), reverse=True)
    assert len(client.pose(picture, params={"max_hands": 1}).json()["hands"]) == 1
    assert client.pose(picture, params={"min_score": 0.99}).json()["hands"] == []
    mirrored = client.pose(picture, params={"mirrored": "true"}).json()["hands"]
    swapped = {"left": "right", "right": "left"}
    labels = [h["handedness"]["label"] for h in hands]
    assert [h["handedness"]["label"] for h in mirrored] == [swapped[label] for label in labels]
    assert [h["keypoints"] for h in mirrored] == [h["keypoints"] for h in hands]


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"max_hands": 0}, "max_hands must be a whole number from 1 to 16, not '0'."),
        ({"max_hands": 17}, "max_hands must be a whole number from 1 to 16, not '17'."),
        ({"max_hands": "2.5"}, "max_hands must be a whole number from 1 to 16, not '2.5'."),
        ({"max_hands": ["99", "1"]}, "max_hands is given more than once."),
        ({"max_hands": ["1", "99"]}, "max_hands is given more than once."),
        ({"a" * 200: ["1", "2"]}, f"{'a' * 100} is given more than once."),
        ({"a" * 200: "1"}, f"There is no parameter {'a' * 100}; there are max_hands, min_score, mirrored."),
        ({"": "1"}, "There is no parameter ''; there are max_hands, min_score, mirrored."),
        ({"min_score": -0.1}, "min_score must be a number from 0 to 1, not '-0.1'."),
        ({"min_score": 1.1}, "min_score must be a number from 0 to 1, not '1.1'."),
        ({"min_score": "nan"}, "min_score must be a number from 0 to 1, not 'nan'."),
        ({"mirrored": "maybe" * 40}, f"mirrored must be true or false, not '{'maybe' * 20}'."),
        ({"max_hand": 2}, "There is no parameter max_hand; did you mean max_hands?"),
        ({"fps": 2}, "There is no parameter fps; there are max_hands, min_score, mirrored."),
    ],
)
def test_a_bad_parameter_is_named_and_what_is_allowed(
    client, photo: bytes, params: dict, detail: str
) -> None:
    (name,) = params
    response = client.pose(photo, params=params)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["errors"] == [{"name": name, "detail": detail}]
    assert problem["detail"] == detail


@pytest.mark.parametrize(
    ("orientation", "size"),
    [(1, (320, 240)), (3, (320, 240)), (6, (240, 320)), (8, (240, 320)), (5, (240, 320))],
)
def test_keypoints_are_in_the_upright_picture(
    client, draw: Callable, encode: Callable, orientation: int, size: tuple[int, int]
) -> None:
    """The hand is drawn where it stands upright; the file stores the picture turned, as a camera does."""
    back = {1: 1, 3: 3, 5: 5, 6: 8, 8: 6}[orientation]
    turn = {
        1: None,
        3: PillowImage.Transpose.ROTATE_180,
        5: PillowImage.Transpose.TRANSPOSE,
        6: PillowImage.Transpose.ROTATE_270,
        8: PillowImage.Transpose.ROTATE_90,
    }[back]
    upright = PillowImage.fromarray(draw(*size, (100, 60, 50, 80, RED)))
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = encode(
        np.asarray(upright if turn is None else upright.transpose(turn)), "JPEG", exif=exif.tobytes()
    )
    answer = client.pose(data).json()
    assert (answer["image"]["width"], answer["image"]["height"]) == size
    first, last = answer["hands"][0]["keypoints"][0], answer["hands"][0]["keypoints"][20]
    assert (first["x"], first["y"]) == pytest.approx((100, 60), abs=2)
    assert (last["x"], last["y"]) == pytest.approx((150, 140), abs=2)


def test_a_large_jpeg_answers_in_its_own_pixels(client, draw: Callable, encode: Callable) -> None:
    data = encode(draw(4000, 3000, (1000, 600, 500, 800, RED)), "JPEG", quality=80)
    answer = client.pose(data).json()
    assert answer["image"] == {"width": 4000, "height": 3000}
    (hand,) = answer["hands"]
    assert (hand["keypoints"][0]["x"], hand["keypoints"][0]["y"]) == pytest.approx((1000, 600), abs=25)
    assert (hand["keypoints"][20]["x"], hand["keypoints"][20]["y"]) == pytest.approx((1500, 1400), abs=25)
    assert hand["box"]["width"] == pytest.approx(574, abs=70)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("image/*", "image/png"),
        ("application/json;q=0.1, image/jpeg", "image/jpeg"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_accept_chooses_the_answer(client, photo: bytes, accept: str, kind: str) -> None:
    response = client.pose(photo, headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    assert response.headers["vary"] == "Accept"
    if kind != "application/json":
        drawn = np.asarray(PillowImage.open(BytesIO(response.content)))
        assert drawn.shape == (240, 320, 3)
        before = np.asarray(PillowImage.open(BytesIO(photo)))
        assert (drawn.astype(int) - before).any(axis=2)[60:140, 100:150].any()


def test_a_type_that_cannot_be_given_is_refused(client, photo: bytes) -> None:
    response = client.pose(photo, headers={"Accept": "text/html"})
    assert response.status_code == 406
    assert "image/png" in response.json()["detail"]


def test_drawn_pictures_that_nobody_reads_leave_no_room_for_more(client, photo: bytes) -> None:
    drawn = client.app.state.service.drawn = Budget(2 * len(photo) + 2**16)
    with drawn.hold() as take:
        take(drawn.limit)
        refused = client.pose(photo, headers={"Accept": "image/png"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "drawn pictures" in refused.json()["detail"]
        assert client.pose(photo).status_code == 200
    assert client.pose(photo, headers={"Accept": "image/png"}).status_code == 200
    assert drawn.used == 0


def test_the_drawn_picture_has_its_full_size(client, draw: Callable, encode: Callable) -> None:
    data = encode(draw(3000, 2000, (1000, 600, 500, 800, RED)), "JPEG", quality=80)
    drawn = client.pose(data, headers={"Accept": "image/jpeg"})
    assert PillowImage.open(BytesIO(drawn.content)).size == (3000, 2000)


@pytest.mark.parametrize(
    ("name", "status"),
    [("one_pixel", 200), ("text", 415), ("empty", 422), ("cut", 422), ("huge", 413)],
)
def test_bad_and_odd_input(client, encode: Callable, draw: Callable, name: str, status: int) -> None:
    png = encode(draw(200, 100))
    declared_huge = png[:16] + (20_000).to_bytes(4, "big") * 2 + png[24:]
    data = {
        "one_pixel": encode(draw(1, 1)),
        "text": b"not a hand",
        "empty": b"",
        "cut": png[:-10],
        "huge": declared_huge,
    }[name]
    response = client.post("/v1/pose", files={"image": ("hand.jpg", data, "image/jpeg")})
    assert response.status_code == status
    if status != 200:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert set(problem) >= {"type", "title", "status", "detail"}


class _Gate:
    """A pipeline whose pictures wait until the test lets them through."""

    def __init__(self, inner: Pipeline) -> None:
        self.inner = inner
        self.models, self.failures = inner.models, inner.failures
        self.open = threading.Event()
        self.entered = threading.Event()
        self.warm_up = inner.warm_up

    def run(self, *args: object, **options: object) -> object:
        self.entered.set()
        assert self.open.wait(10)
        return self.inner.run(*args, **options)


def test_a_full_queue_answers_503_and_the_loop_stays_free(
    make_client: Callable, pipeline: Pipeline, photo: bytes
) -> None:
    gate = _Gate(pipeline)
    client = make_client(engines=gate, queue_size=1)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.pose, photo) for _ in range(2)]
        assert gate.entered.wait(10)
        workers = client.app.state.service.workers
        deadline = time.monotonic() + 10
        while not workers.full and time.monotonic() < deadline:
            time.sleep(0.001)
        read = []

        async def body() -> AsyncIterator[bytes]:
            read.append(True)
            yield photo

        refused = client.pose(body())
        assert not read  # there is no room for it
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "wait" in refused.json()["detail"]
        assert client.get("/healthz").status_code == 200  # while inference runs
        assert "handpose_queue_waiting 1.0" in client.get("/metrics").text
        gate.open.set()
        assert [job.result(10).status_code for job in waiting] == [200, 200]
    assert client.pose(photo).status_code == 200


def test_before_the_models_are_warm_it_answers_503(make_client: Callable, photo: bytes) -> None:
    response = make_client(lifespan=False).pose(photo)
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert "warm" in response.json()["detail"]
