"""The command line: ``python -m training <command>``."""

import argparse
import logging
import sys
from pathlib import Path

from training.commands import COMMANDS, CommandError


def argument_parser() -> argparse.ArgumentParser:
    """Of all commands; `command` is the name of the one that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Builds and judges checkpoints.")
    parser.add_argument("--data", type=Path, help="data folder (default: $HANDS_DATA, data/, ../shared/data)")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        command.register(subparsers.add_parser(name, help=command.help, description=command.help))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 it could not be done (the reason is on stderr)."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    from training.loop import TrainingError

    try:
        COMMANDS[options.command].run(options)
    except (CommandError, TrainingError, ValueError, FileNotFoundError) as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
