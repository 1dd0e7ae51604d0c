"""`hand-pose stream …`: the command without its arguments' grammar."""

import argparse
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from handpose_client.cli_photos import say
from handpose_client.client import HandPose
from handpose_client.progress import Progress
from handpose_client.results import Hand

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from handpose_client.video import VideoWriter


USAGE = 2
# What is behind these is live; behind http it may be a recording, too, so that `--live` has to say it.
_LIVE = ("rtmp://", "rtmps://", "rtp://", "rtsp://", "rtsps://", "srt://", "tcp://", "udp://")


def follow(client: HandPose, options: argparse.Namespace, tell: Callable[[str], None]) -> int:
    """Stream a video or camera. Returns the exit code: 1 when a frame could not be used, 2 for a drawing that
    is no video or would take the place of the source.

    A live source goes on until Ctrl-C, which is its ordinary end. Raises HandPoseError and OSError.
    """
    from handpose_client.video import Camera, VideoFile, VideoWriter  # needs the extra

    if options.draw and Path(options.draw).resolve() == Path(options.source).resolve():
        tell(f"--draw: the video {options.draw} would be overwritten")
        return USAGE
    with contextlib.ExitStack() as stack:
        name = options.source
        live = options.live or name.isdecimal() or name.lower().startswith(_LIVE)
        opened = Camera(int(name) if name.isdecimal() else name) if live else VideoFile(name)
        source = stack.enter_context(opened)
        try:
            writer = stack.enter_context(VideoWriter(options.draw, source.fps)) if options.draw else None
        except ValueError as error:
            tell(f"--draw: {error}")
            return USAGE
        frames = _Frames(source, writer, source.fps if live else None)
        progress = Progress(sys.stderr, source.frame_count if isinstance(source, VideoFile) else None)
        stack.callback(progress.finish)
        results = client.stream(
            frames.watched(),
            max_hands=options.max_hands,
            min_score=options.min_score,
            mirrored=options.mirrored,
            smoothing=False if options.no_smoothing else None,
            frame_rate=None if live else source.fps,
            max_in_flight=2 if live else 1,  # of a recording every frame counts
            reconnect=options.reconnect,
        )
        stack.enter_context(contextlib.closing(results))
        try:
            for result in results:
                hands = () if result.error else result.hands
                frames.answered(result.frame, hands)
                if result.error or options.json:
                    progress.clear()
                if result.error:
                    tell(f"frame {result.frame}: {result.error}")
                if options.json:
                    say(json.dumps(result.to_dict()))
                progress.update(result.frame + 1, len(hands), failed=bool(result.error))
            progress.frames = frames.count  # with those after the last answer
        except KeyboardInterrupt:
            if not live:
                raise
        frames.rest()
        return 1 if progress.failed else 0


class _Frames:
    """The frames that were streamed, and their way into the drawn video: each one in its place, without hands
    where no answer came.
    """

    def __init__(
        self, source: "Iterable[NDArray[np.uint8]]", writer: "VideoWriter | None", live_fps: float | None
    ) -> None:
        """live_fps: of a live source, some of whose frames are never streamed: what is written is stretched to
        the time it took. None for a recording.
        """
        self.count = 0
        self._source = source
        self._writer = writer
        self._live_fps = live_fps
        self._started = time.monotonic()
        self._written = 0
        self._waiting: deque[tuple[int, NDArray[np.uint8]]] = deque()

    def watched(self) -> "Iterator[NDArray[np.uint8]]":
        """The frames, as they are streamed."""
        for frame in self._source:
            if self._writer is not None:
                self._waiting.append((self.count, frame))
            self.count += 1
            yield frame

    def answered(self, index: int, hands: Sequence[Hand]) -> None:
        """An answer came; none will come any more for the frames before it."""
        while self._waiting and self._waiting[0][0] <= index:
            number, frame = self._waiting.popleft()
            self._write(frame, hands if number == index else ())

    def rest(self) -> None:
        """No more answers will come."""
        while self._waiting:
            self._write(self._waiting.popleft()[1], ())

    def _write(self, frame: "NDArray[np.uint8]", hands: Sequence[Hand]) -> None:
        from handpose_client.drawing import draw_hands  # needs the extra

        assert self._writer is not None
        copies = 1
        if self._live_fps is not None:
            due = round((time.monotonic() - self._started) * self._live_fps)
            copies = max(0 if self._written else 1, due - self._written)
        drawn = draw_hands(frame, hands)
        for _ in range(copies):
            self._writer.write(drawn)
        self._written += copies
