import ctypes
import sys

import pytest

from service.memory import configure, give_back


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_freed_memory_goes_back_to_the_system() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library has no malloc_trim")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    blocks = [bytes(bytearray(b"x") * 60_000) for _ in range(2000)]
    keep = blocks[-1]  # above the others, so that the heap cannot shrink from its end
    full = resident()
    blocks.clear()
    give_back()
    assert full - resident() > 60e6
    assert keep


def test_a_c_library_without_it_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    configure()
    give_back()


def test_what_the_environment_says_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        malloc_trim = None

        def mallopt(self, option: int, value: int) -> None:
            asked.append((option, value))

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    configure()
    assert asked == [(-3, 2**20)]
