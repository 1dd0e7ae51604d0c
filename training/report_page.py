"""The page of a report: what is on it, and how it becomes HTML that needs nothing else."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from training.runs import TrainedRun

_TEMPLATE = "report.html.jinja"
_QUALITY = 88  # of JPEG
PHOTOS = "photos"
"""The name in a headline of what its figures were measured on."""


@dataclass(frozen=True)
class Picture:
    """A picture on the page, `width` × `height` pixels of the page at most.

    light, dark: `data:` addresses; dark is empty where one picture serves both.
    """

    alt: str
    caption: str
    width: int
    height: int
    light: str
    dark: str = ""


@dataclass(frozen=True)
class Grid:
    """A table on the page."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass
class Section:
    """A part of a run's report, in this order: a sentence, tables, pictures."""

    id: str
    title: str
    text: str = ""
    grids: list[Grid] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class RunReport:
    """Everything about one run. title: tells it from the others."""

    id: str
    title: str
    run: TrainedRun
    facts: tuple[tuple[str, str], ...]
    headline: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def render(reports: Sequence[RunReport]) -> str:
    """The page, pictures and all. Several runs have a table of all of them first."""
    environment = Environment(
        loader=PackageLoader("training", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(_TEMPLATE).render(reports=reports, overview=_overview(reports))


def inline_png(path: Path) -> str:
    """A PNG file as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def inline_photo(image: NDArray[np.uint8]) -> str:
    """(H, W, 3) uint8 RGB as a `data:` address of a JPEG, a fifth of the size of a PNG."""
    encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def _overview(reports: Sequence[RunReport]) -> Grid:
    """One row a run, with every figure that some run's headline has."""
    names = tuple(dict.fromkeys(name for report in reports for name, _ in report.headline if name != PHOTOS))
    rows = []
    for report in reports:
        figures = dict(report.headline)
        own = (report.run.task, figures[PHOTOS], f"{report.run.samples:,}")
        rows.append((report.title, *own, *(figures.get(name, "") for name in names)))
    return Grid("All runs", ("run", "task", PHOTOS, "samples seen", *names), tuple(rows))
