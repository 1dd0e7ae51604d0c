"""The option that says what the pair computes in."""

import argparse
from typing import get_args

from service.engines.loaded import ServedPrecision


def add_precision(parser: argparse.ArgumentParser, default: ServedPrecision = "float32") -> None:
    """default: "float32" for figures that every CPU shall agree on, "auto" for what is served."""
    parser.add_argument(
        "--precision",
        choices=get_args(ServedPrecision),
        default=default,
        help=f"as HANDPOSE_PRECISION (default {default})",
    )
