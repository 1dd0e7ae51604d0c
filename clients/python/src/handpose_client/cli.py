"""`hand-pose`: photos and streams from the command line."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from handpose_client import __version__
from handpose_client.cli_photos import draws_to, find_in_photos
from handpose_client.cli_stream import follow
from handpose_client.client import HandPose
from handpose_client.errors import HandPoseError, TooLargeError, UnprocessableError, UnsupportedImageError
from handpose_client.protocol import DEFAULT_RETRY, DEFAULT_TIMEOUT, DEFAULT_URL

FAILED = 1  # a picture or video could not be used
USAGE = 2
NO_SERVICE = 3  # the service cannot be reached or does not serve us
INTERRUPTED = 130
N = TypeVar("N", int, float)

_EXIT_CODES = """\
environment:
  HAND_POSE_URL      in place of --url
  HAND_POSE_API_KEY  in place of --api-key

exit codes:
  0  every picture was looked at, with or without hands in it
  1  a picture or video could not be read, was refused or could not be written
  2  wrong arguments
  3  the service cannot be reached, does not answer or refuses to serve
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default the process's own. Returns the exit code; wrong arguments end the
    process, as argparse does.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may have bytes that no encoding knows
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _stream(words[1:]) if words[:1] == ["stream"] else _photos(words)
    except BrokenPipeError:  # who read our output has enough of it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _photos(words: list[str]) -> int:
    parser = _parser(
        "hand-pose",
        "Find the hands in photos. For videos and cameras: hand-pose stream --help",
        "%(prog)s [options] photo [photo …]\n       hand-pose stream [options] source",
    )
    parser.add_argument(
        "photos", nargs="+", metavar="photo", help="a JPEG, PNG, WebP or BMP file; - for standard input"
    )
    parser.add_argument(
        "--draw",
        metavar="OUT",
        help="write the photo with its hands drawn: a .png or .jpg file, or a folder for many photos",
    )
    _add_seconds(parser, "--retry", DEFAULT_RETRY, "how long to try again while the service is busy")
    options = parser.parse_args(words)
    drawings = draws_to(options.photos, options.draw, parser.error) if options.draw else None
    return _guarded(options, lambda client: find_in_photos(client, options, drawings, tell), options.retry)


def _stream(words: list[str]) -> int:
    parser = _parser("hand-pose stream", "Follow the hands in a video or in front of a camera.")
    parser.add_argument("source", help="a video file or URL, or the number of a camera: 0")
    parser.add_argument(
        "--live",
        action="store_true",
        help="the source is live: send its newest frames, not every frame; cameras and rtsp:// always are",
    )
    parser.add_argument(
        "--draw", metavar="OUT", help="write the video with the hands drawn: .mp4, .mov, .mkv or .avi"
    )
    parser.add_argument("--no-smoothing", action="store_true", help="do not smooth the keypoints over time")
    _add_seconds(parser, "--reconnect", 30.0, "how long to try again when the connection is lost")
    options = parser.parse_args(words)
    return _guarded(options, lambda client: follow(client, options, tell))


def _parser(program: str, description: str, usage: str | None = None) -> argparse.ArgumentParser:
    """With the arguments that both commands take."""
    parser = argparse.ArgumentParser(
        program,
        usage,
        description,
        _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    url = os.environ.get("HAND_POSE_URL") or DEFAULT_URL
    parser.add_argument("--version", action="version", version=f"hand-pose {__version__}")
    parser.add_argument("--url", default=url, help="address of the service (%(default)s)")
    parser.add_argument(
        "--api-key",
        default=os.environ.get("HAND_POSE_API_KEY") or None,
        help="API key of the service (default: $HAND_POSE_API_KEY)",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each picture")
    parser.add_argument(
        "--max-hands", type=_number(int, 1, 16), metavar="N", help="at most N hands, 1 to 16 (4)"
    )
    parser.add_argument(
        "--min-score", type=_number(float, 0, 1), metavar="S", help="leave out hands scored below S (0.5)"
    )
    parser.add_argument(
        "--mirrored", action="store_true", default=None, help="mirror images: swap left and right"
    )
    _add_seconds(parser, "--timeout", DEFAULT_TIMEOUT, "how long to wait for an answer", least=0.001)
    _add_seconds(parser, "--wait", 0.0, "wait this long for the service to be ready")
    return parser


def _add_seconds(
    parser: argparse.ArgumentParser, name: str, default: float, meaning: str, least: float = 0
) -> None:
    parser.add_argument(
        name,
        type=_number(float, least, 86400),
        default=default,
        metavar="SECONDS",
        help=f"{meaning} (%(default)g)",
    )


def _guarded(
    options: argparse.Namespace, command: Callable[[HandPose], int], retry: float = DEFAULT_RETRY
) -> int:
    """Run a command with a client; its errors become a sentence and an exit code."""
    try:
        client = HandPose(options.url, api_key=options.api_key, timeout=options.timeout, retry=retry)
    except ValueError as error:
        tell(str(error))
        return USAGE
    try:
        with client:
            if options.wait:
                client.wait_until_ready(options.wait)
            return command(client)
    except BrokenPipeError:
        raise
    except (TooLargeError, UnsupportedImageError, UnprocessableError) as error:
        tell(str(error))
        return FAILED
    except HandPoseError as error:
        tell(str(error))
        return FAILED if isinstance(error, ImportError) else NO_SERVICE
    except OSError as error:
        tell(explain(error))
        return FAILED


def tell(message: str) -> None:
    """A line for people, on standard error."""
    print(f"hand-pose: {message}", file=sys.stderr)  # noqa: T201


def explain(error: OSError) -> str:
    """Without the number."""
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _number(kind: type[N], low: float, high: float) -> Callable[[str], N]:
    """An argument between two bounds."""

    def parse(text: str) -> N:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse
