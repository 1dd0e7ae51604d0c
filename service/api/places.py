"""Places of which each client may hold a few at once, and a budget that all share."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class NoPlaceError(Exception):
    """The client holds as many as it may."""


class Places:
    """Belongs to one event loop. Remembers those alone who hold a place."""

    def __init__(self, limit: int) -> None:
        """limit: for each holder; 0 for none."""
        self.limit = limit
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def full(self, holder: str) -> bool:
        """Whether this holder may have no further place."""
        return bool(self.limit) and self._held[holder] >= self.limit

    def take(self, holder: str) -> None:
        """Raises NoPlaceError."""
        if self.full(holder):
            raise NoPlaceError(f"{self.limit} are held already")
        self._held[holder] += 1

    def give_back(self, holder: str) -> None:
        """One that was taken."""
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]

    @contextmanager
    def hold(self, holder: str) -> Iterator[None]:
        """Hold a place. Raises NoPlaceError."""
        self.take(holder)
        try:
            yield
        finally:
            self.give_back(holder)


class NoRoomError(Exception):
    """All that may be held is held."""


class Budget:
    """What all requests together may hold at once: bytes, pictures. Belongs to one event loop."""

    def __init__(self, limit: int, on_refusal: Callable[[], object] = lambda: None) -> None:
        """on_refusal: called for each that finds no room."""
        self.limit = limit
        self.used = 0
        self._on_refusal = on_refusal

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Yields a function that takes so much more, or raises NoRoomError; all is given back at the end."""
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self.used + size > self.limit:
                self._on_refusal()
                raise NoRoomError(f"{size} more than {self.used} would be over {self.limit}")
            self.used += size
            held += size

        try:
            yield take
        finally:
            self.used -= held
