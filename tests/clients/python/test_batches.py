"""`pose_many`: groups of photos, and both clients against a service that takes so many at once."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from handpose_client import TooLargeError, TooManyRequestsError, UnsupportedImageError
from handpose_client.batches import batches
from starlette.responses import JSONResponse, Response

TEXT = b"no picture"


@pytest.fixture
def batching(service: Any, documents: SimpleNamespace) -> Any:
    """A service that refuses text, and batches of more than `service.most` pictures. In a picture `b"3"` is a hand at
    x = 3.
    """
    service.most = 100

    def result(data: bytes) -> dict[str, Any]:
        if data == TEXT:
            error = {"type": "about:blank", "title": "Nope", "status": 415, "detail": "This is text."}
            return {"error": error}
        return documents.pose(documents.hand(float(data)))

    def answer(seen: Any) -> Response:
        assert seen.path == "/v1/pose/batch"
        pictures = re.findall(
            rb'name="images"; filename="\d+"\r\n.*?\r\n\r\n(.*?)\r\n--', seen.body, re.DOTALL
        )
        if len(pictures) > service.most:
            return documents.problem(413, f"At most {service.most}.")
        return JSONResponse(documents.batch(*map(result, pictures)))

    service.answer = answer
    return service


def numbers(count: int) -> list[bytes]:
    return [str(i).encode() for i in range(count)]


def test_every_photo_gets_its_own_answer_in_order(client: Any, batching: Any) -> None:
    results = client.many(batching.url, numbers(20), max_hands=2, batch_size=6)
    assert [result.index for result in results] == list(range(20))
    assert [result.hands[0].box.x for result in results] == list(range(20))
    assert [result.picture for result in results] == numbers(20)
    assert [len(seen.body.split(b'name="images"')) - 1 for seen in batching.seen] == [6, 6, 6, 2]
    assert batching.seen[0].query == {"max_hands": "2"}


def test_a_photo_that_cannot_be_used_fails_alone(client: Any, batching: Any) -> None:
    first, second, third = client.many(batching.url, [b"1", TEXT, b"3"])
    assert (first.hands[0].box.x, third.hands[0].box.x) == (1, 3)
    assert isinstance(second.error, UnsupportedImageError)
    with pytest.raises(UnsupportedImageError, match="This is text"):
        _ = second.hands


def test_a_batch_that_is_too_large_goes_in_parts(client: Any, batching: Any) -> None:
    batching.most = 3
    results = client.many(batching.url, numbers(8), batch_size=8)
    assert [result.hands[0].box.x for result in results] == list(range(8))
    batching.most = 0
    (alone,) = client.many(batching.url, [b"1"])
    assert isinstance(alone.error, TooLargeError)


def test_a_service_that_refuses_the_batch_ends_it(
    client: Any, service: Any, documents: SimpleNamespace
) -> None:
    service.answer = lambda _: documents.problem(429, "Slower.", Retry_After="3")
    with pytest.raises(TooManyRequestsError) as raised:
        client.many(service.url, numbers(2), client={"retry": 2.0})
    assert raised.value.retry_after == 3
    assert len(service.seen) == 1


def test_no_photos_are_no_request(client: Any, batching: Any) -> None:
    assert client.many(batching.url, []) == []
    assert batching.seen == []


@pytest.mark.parametrize("single", ["hand.jpg", b"hand", Path("hand.jpg")])
def test_a_single_photo_is_a_mistake(client: Any, single: Any, unused_url: str) -> None:
    with pytest.raises(TypeError, match="not one"):
        client.many(unused_url, single)
    with pytest.raises(ValueError, match="batch_size"):
        client.many(unused_url, [b"1"], batch_size=0)


def test_photos_are_read_as_their_turn_comes_and_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handpose_client.batches._BATCH_BYTES", 10)
    taken: list[int] = []

    def source() -> Iterator[bytes]:
        for i, size in enumerate((4, 4, 4, 20, 1)):
            taken.append(i)
            yield bytes(size)

    made = batches(source(), 8)
    first = next(made)
    assert (first.first, len(first.data)) == (0, 2)
    assert taken == [0, 1, 2]
    assert [(batch.first, len(batch.data)) for batch in made] == [(2, 1), (3, 1), (4, 1)]
