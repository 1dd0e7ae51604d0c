"""The line on the terminal."""

from io import StringIO

import pytest
from handpose_client import progress
from handpose_client.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; set its only item."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(line: Progress, clock: list[float], frames: int, fps: float = 20) -> None:
    for i in range(frames):
        clock[0] += 1 / fps
        line.update(i + 1, hands=2)


def test_a_bar_with_rate_and_what_is_left(clock: list[float]) -> None:
    out = Terminal()
    run(Progress(out, total=200), clock, 50)
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("██████░░░░░░░░░░░░░░░░░░  ")
    for part in ("/200", "20.0 fps", "2 hands", "8 s left"):
        assert part in last
    assert len(last) < 80


def test_without_a_length_there_is_no_bar(clock: list[float]) -> None:
    out = Terminal()
    run(Progress(out, total=None), clock, 10)
    last = out.getvalue().split("\r")[-1]
    assert "frame " in last
    assert "█" not in last
    assert "left" not in last


def test_it_is_not_drawn_for_every_frame(clock: list[float]) -> None:
    out = Terminal()
    run(Progress(out, total=None), clock, 1000, fps=1000)
    assert out.getvalue().count("\r") <= 12


def test_a_shorter_line_leaves_nothing_of_the_longer_one(clock: list[float]) -> None:
    out = Terminal()
    line = Progress(out, total=None)
    line.update(1000, hands=2)
    clock[0] += 1
    line.update(1, hands=1)
    longer, shorter = out.getvalue().split("\r")[1:]
    assert len(shorter) >= len(longer.rstrip())


def test_room_for_another_line(clock: list[float]) -> None:
    out = Terminal()
    line = Progress(out, total=None)
    line.clear()
    assert out.getvalue() == ""
    line.update(1, hands=0)
    line.clear()
    assert out.getvalue().endswith("\r")
    assert out.getvalue().split("\r")[-2].strip() == ""


def test_the_end_says_what_it_came_to(clock: list[float]) -> None:
    out = StringIO()
    line = Progress(out, total=10)
    line.update(1, hands=0)
    line.update(4, hands=0, failed=True)
    assert out.getvalue() == ""  # no terminal, no bar
    clock[0] += 2
    line.frames = 5
    line.finish()
    assert out.getvalue() == "5 frames in 2.0 s, 1.0 answers a second, 3 dropped, 1 failed\n"
