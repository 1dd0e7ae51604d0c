import pytest

from service.api.places import Budget, NoPlaceError, NoRoomError, Places


def test_each_holder_has_its_own_places() -> None:
    places = Places(2)
    with places.hold("a"), places.hold("a"), places.hold("b"):
        assert places.full("a")
        with pytest.raises(NoPlaceError), places.hold("a"):
            pytest.fail("there was no place")
    with places.hold("a"):
        pass
    assert len(places) == 0


def test_a_place_comes_back_after_an_error() -> None:
    places = Places(1)
    with pytest.raises(ZeroDivisionError), places.hold("a"):
        _ = 1 / 0
    assert not places.full("a")


def test_no_limit() -> None:
    places = Places(0)
    for _ in range(100):
        places.take("a")
    assert not places.full("a")


def test_memory_is_shared_and_comes_back() -> None:
    refused: list[int] = []
    memory = Budget(10, lambda: refused.append(1))
    with memory.hold() as first:
        first(4)
        with memory.hold() as second:
            second(6)
            with pytest.raises(NoRoomError):
                first(1)
        assert memory.used == 4
        first(6)
    assert memory.used == 0
    assert len(refused) == 1


def test_memory_comes_back_after_an_error() -> None:
    memory = Budget(10)

    def fail() -> None:
        with memory.hold() as take:
            take(7)
            take(7)

    with pytest.raises(NoRoomError):
        fail()
    assert memory.used == 0
