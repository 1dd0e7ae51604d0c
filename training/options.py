"""What the commands of ``python -m training`` share: what a command is, and options that several have."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from service.engines.loaded import ServedPrecision

RUNS = Path("runs")
CHECKPOINT = "checkpoint folder (default: what ships)"


class CommandError(Exception):
    """A command that could not be carried out; the message is for the person who typed it."""


@dataclass(frozen=True)
class Command:
    """One command: its help, its arguments and what it does."""

    help: str
    register: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def at_least(least: int) -> Callable[[str], int]:
    """What an option must be: a whole number, from this one on."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return int(text)

    number.__name__ = "whole number"  # for argparse's messages
    return number


def add_precision(parser: argparse.ArgumentParser, default: ServedPrecision = "float32") -> None:
    """What the pair computes in. default: "float32" for figures that every CPU shall agree on, "auto" for what is
    served.
    """
    parser.add_argument(
        "--precision",
        choices=get_args(ServedPrecision),
        default=default,
        help=f"as HANDPOSE_PRECISION (default {default}; with float32 every CPU gives the same figures)",
    )
