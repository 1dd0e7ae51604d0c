"""`hand-pose photo.jpg …`: the command without its arguments' grammar."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from handpose_client.client import HandPose
from handpose_client.errors import TooLargeError, UnprocessableError, UnsupportedImageError
from handpose_client.protocol import DrawingFormat
from handpose_client.results import Hand, PoseResult

STANDARD_INPUT = "-"
_FORMATS: dict[str, DrawingFormat] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def draws_to(photos: Sequence[str], out: str, refuse: Callable[[str], NoReturn]) -> list[Path]:
    """The file for each photo's drawing. refuse: ends the program with a word on what is wrong."""
    folder = Path(out)
    if folder.suffix.lower() in _FORMATS and not folder.is_dir():
        if len(photos) > 1:
            refuse(f"--draw: {len(photos)} photos need a folder, not the file {out}")
        return _new([folder], photos, refuse)
    if folder.suffix and not folder.is_dir() and not out.endswith(("/", "\\")):
        refuse(f"--draw: a drawing is {', '.join(_FORMATS)}, not {out}")
    names = ["stdin" if photo == STANDARD_INPUT else Path(photo).stem for photo in photos]
    for name in names:
        if names.count(name) > 1:
            refuse(f"--draw: two photos would be drawn to {folder / name}.png")
    return _new([folder / f"{name}.png" for name in names], photos, refuse)


def _new(drawings: list[Path], photos: Sequence[str], refuse: Callable[[str], NoReturn]) -> list[Path]:
    """The drawings, none of which may take the place of a photo."""
    originals = {Path(photo).resolve() for photo in photos if photo != STANDARD_INPUT}
    for drawing in drawings:
        if drawing.resolve() in originals:
            refuse(f"--draw: the photo {drawing} would be overwritten")
    return drawings


def find_in_photos(
    client: HandPose,
    options: argparse.Namespace,
    drawings: Sequence[Path] | None,
    tell: Callable[[str], None],
) -> int:
    """All photos, a batch at a time and in their order; those that cannot be used are told and passed over.

    Returns the exit code. Raises OSError when a drawing cannot be written, and HandPoseError when the service
    as a whole does not do.
    """
    asked = {"max_hands": options.max_hands, "min_score": options.min_score, "mirrored": options.mirrored}
    sent: list[int] = []
    refused = 0
    for result in client.pose_many(_contents(options.photos, sent, tell), **asked):
        index = sent[result.index]
        photo = options.photos[index]
        try:
            answer = result.answer
            if drawings:
                drawing = drawings[index]
                drawn = client.draw(result.picture, format=_FORMATS[drawing.suffix.lower()], **asked)
                drawing.parent.mkdir(parents=True, exist_ok=True)
                drawing.write_bytes(drawn)
        except (TooLargeError, UnsupportedImageError, UnprocessableError) as error:
            tell(f"{photo}: {error}")
            refused += 1
            continue
        say(json.dumps({"file": photo, **answer.to_dict()}) if options.json else describe(photo, answer))
    return 0 if len(sent) - refused == len(options.photos) else 1


def _contents(photos: Sequence[str], sent: list[int], tell: Callable[[str], None]) -> Iterator[bytes]:
    """The photos that can be read, whose indices are added to `sent`; the others are told."""
    for index, photo in enumerate(photos):
        try:
            data = sys.stdin.buffer.read() if photo == STANDARD_INPUT else Path(photo).read_bytes()
        except OSError as error:
            tell(f"{photo}: {error.strerror or error}")
            continue
        sent.append(index)
        yield data


def describe(photo: str, result: PoseResult) -> str:
    """A few lines for people."""
    size, count = result.image, len(result.hands)
    milliseconds = result.timing_ms.total - result.timing_ms.queue  # without the wait for the photos before
    head = f"{photo}: {size.width} × {size.height}, {count or 'no'} hand{'' if count == 1 else 's'}"
    return "\n".join([f"{head}, {milliseconds:.1f} ms", *map(_describe_hand, result.hands)])


def _describe_hand(hand: Hand) -> str:
    box, side, tip = hand.box, hand.handedness, hand.keypoints["index_tip"]
    return (
        f"  score {hand.score:.2f}  {side.label:<5} {side.score:>4.0%}  box {box.x:.0f},{box.y:.0f} "
        f"{box.width:.0f} × {box.height:.0f}  index_tip {tip.x:.0f},{tip.y:.0f}"
    )


def say(line: str) -> None:
    """A line of what was asked for, on standard output, at once: somebody may be reading along."""
    print(line, flush=True)  # noqa: T201
