"""Which answer belongs to which frame."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from handpose_client import AnswerError, ProblemError, UnprocessableError
from handpose_client.flight import Flight


@pytest.fixture
def answer(documents: SimpleNamespace) -> Any:
    """Makes messages: `answer(7)`, `answer(7, type="error", status=422)`."""

    def make(frame: int | None, **more: Any) -> str:
        return json.dumps({"type": "result", "frame": frame, "dropped": 0} | documents.pose() | more)

    return make


def flight_of(count: int, limit: int = 2) -> Flight[str]:
    flight: Flight[str] = Flight(limit)
    for i in range(count):
        flight.add(f"picture {i}", now=float(i))
    return flight


def test_there_is_room_for_so_many() -> None:
    flight = flight_of(0, limit=2)
    assert flight.empty
    flight.add("a", 0)
    assert flight.room
    flight.add("b", 0)
    assert not flight.room
    assert not flight.empty


def test_an_answer_belongs_to_its_frame(answer: Any) -> None:
    flight = flight_of(2)
    result = flight.receive(answer(0), now=0.25)
    assert result is not None
    assert (result.frame, result.picture, result.dropped, result.error) == (0, "picture 0", 0, None)
    assert result.round_trip_ms == 250
    assert flight.room
    assert not flight.empty


def test_an_answer_tells_which_frames_were_dropped(answer: Any) -> None:
    flight = flight_of(5, limit=5)
    result = flight.receive(answer(3), now=10)
    assert result is not None
    assert (result.frame, result.dropped) == (3, 3)
    last = flight.receive(answer(4), now=10)
    assert last is not None
    assert (last.frame, last.dropped) == (4, 3)
    assert flight.empty


def test_an_answer_that_was_overtaken_is_passed_over(answer: Any) -> None:
    """Results never go back in time."""
    flight = flight_of(3, limit=3)
    assert flight.receive(answer(2), now=3) is not None
    assert flight.receive(answer(1), now=3) is None
    assert flight.receive(answer(2), now=3) is None


@pytest.mark.parametrize("number", [2, 99, -1])
def test_an_answer_to_a_frame_that_was_never_sent(answer: Any, number: int) -> None:
    with pytest.raises(AnswerError, match=f"frame {number}, of 2 sent"):
        flight_of(2).receive(answer(number), now=2)


def test_numbers_begin_again_on_a_new_connection(answer: Any) -> None:
    flight = flight_of(2)
    flight.lost()
    assert flight.empty
    assert flight.room
    flight.add("picture 2", now=5)
    result = flight.receive(answer(0), now=6)
    assert result is not None
    assert (result.frame, result.picture, result.dropped) == (2, "picture 2", 2)


def test_no_hand_has_the_number_of_one_from_before_a_new_connection(
    answer: Any, documents: SimpleNamespace
) -> None:
    flight, numbers = flight_of(0), []
    for connection in ([1, 3], [2], [], [2, 1]):
        flight.add("picture", 0)
        hands = [documents.hand(track_id=number) for number in connection]
        result = flight.receive(answer(0, hands=hands), 0)
        assert result is not None
        numbers.append([hand.track_id for hand in result.hands])
        flight.lost()
    assert numbers == [[1, 3], [5], [], [7, 6]]


def test_a_frame_that_failed(answer: Any) -> None:
    flight = flight_of(2)
    result = flight.receive(
        answer(0, type="error", status=422, title="Unprocessable", detail="cut off"), now=1
    )
    assert result is not None
    assert isinstance(result.error, UnprocessableError)
    assert (result.error.title, result.error.detail) == ("Unprocessable", "cut off")
    assert flight.room


@pytest.mark.parametrize("frame", [None, ...])
def test_an_error_of_no_frame_is_raised(answer: Any, frame: Any) -> None:
    message = json.loads(answer(None, type="error", status=429, title="Slow", detail="down"))
    if frame is ...:
        del message["frame"]
    with pytest.raises(ProblemError, match="429 Slow: down"):
        flight_of(1).receive(json.dumps(message), now=1)


def test_messages_of_a_kind_that_is_not_known_are_passed_over(answer: Any) -> None:
    assert flight_of(1).receive(answer(0, type="configured"), now=1) is None


@pytest.mark.parametrize(
    "text", ["hello", "[]", "{}", '{"type": "result"}', '{"type": "result", "frame": "0"}']
)
def test_messages_that_break_the_contract(text: str) -> None:
    with pytest.raises(AnswerError):
        flight_of(1).receive(text, now=1)


def test_the_age_of_the_oldest_frame(answer: Any) -> None:
    flight = flight_of(2)
    assert flight.age(now=10) == 10
    flight.receive(answer(0), now=10)
    assert flight.age(now=10) == 9
    flight.receive(answer(1), now=10)
    assert flight.age(now=10) == 0
