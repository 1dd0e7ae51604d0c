"""The command line: ``python -m training <command>``."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from training.commands import COMMANDS
from training.options import CommandError


def argument_parser() -> argparse.ArgumentParser:
    """Of all commands; `command` is the name of the one that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Build and evaluate checkpoints.")
    parser.add_argument("--data", type=Path, help="data folder (default: $HANDS_DATA, data/, ../shared/data)")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        command.register(subparsers.add_parser(name, help=command.help, description=command.help))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 it could not be done (the reason is on stderr), 130 it was
    interrupted.
    """
    parser = argument_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("training").setLevel(logging.INFO)  # others tell what only they understand
    status = 1
    try:
        _run(options)
    except ModuleNotFoundError as error:
        reason = f'{error.name} is not installed; pip install --editable ".[training]" brings it'
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    except (CommandError, ValueError) as error:
        reason = str(error)
    except KeyboardInterrupt:  # what was half done has been removed on the way here
        reason, status = "interrupted", 130
    else:
        return 0
    print(f"{parser.prog} {options.command}: {reason}", file=sys.stderr)
    return status


def _run(options: argparse.Namespace) -> None:
    from training.loop import TrainingError  # torch comes with it

    try:
        COMMANDS[options.command].run(options)
    except TrainingError as error:
        raise CommandError(str(error)) from None


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up like Ctrl-C
    sys.exit(main())
