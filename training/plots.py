"""Curves as people know them from papers, drawn with matplotlib for light and for dark pages."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from numpy.typing import NDArray

from service.models.keypoints import FINGERS
from training.calibrate import Calibrated
from training.calibration import Reliability
from training.coco_metrics import CocoFigures
from training.pose_metrics import AUC_LIMIT, AUC_PIXELS, PoseErrors

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

Series = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps (N,) and values (N,) of one curve."""

# Okabe and Ito's colours, told apart with any kind of colour blindness, and lighter ones like them for dark pages; line
# styles say the same. Plots name them by their place: "C0", "C1", ...
_COLOURS = ("C0", "C1", "C2", "C3")
_PALETTES = {
    "": ("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    "-dark": ("#56B4E9", "#F0894A", "#2CC69B", "#E3A0C6"),
}
_STYLES = ("-", "--", "-.", ":")
_INKS = {"": ("#ffffff", "#1c2024", "#d5d9de"), "-dark": ("#14171a", "#e6e8ea", "#3a4046")}
_DPI = 144
_PANEL = (3.5, 2.5)  # inches
_GROUPS = {
    "all keypoints": tuple(range(21)),
    "wrist and knuckles": (0, *(finger[1] for finger in FINGERS)),
    "fingertips": tuple(finger[-1] for finger in FINGERS),
}


THEMES = tuple(_INKS)
"""What is put after a plot's name: nothing for light pages, "-dark" for dark ones."""


def save(draw: Callable[[], Figure], folder: Path, name: str) -> tuple[int, int]:
    """Write `name`.png and `name`-dark.png: what `draw` makes on a light and on a dark page. Returns their width and
    height in pixels.
    """
    width = height = 0
    for suffix, (page, ink, grid) in _INKS.items():
        style: dict[RcKeyType, Any] = {
            "axes.prop_cycle": cycler(color=_PALETTES[suffix]),
            "figure.facecolor": page,
            "axes.facecolor": page,
            "savefig.facecolor": page,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": grid,
            "xtick.color": ink,
            "ytick.color": ink,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "grid.color": grid,
            "axes.grid": True,
            "grid.linewidth": 0.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.labelsize": 9,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "lines.linewidth": 1.8,
            "figure.constrained_layout.use": True,
        }
        with mpl.rc_context(style):
            figure = draw()
            figure.savefig(folder / f"{name}{suffix}.png", dpi=_DPI, metadata={"Software": None})
            width, height = figure.canvas.get_width_height()
            plt.close(figure)
    return round(width * _DPI / figure.dpi), round(height * _DPI / figure.dpi)


def smooth(values: NDArray[np.float64], keep: float) -> NDArray[np.float64]:
    """Exponential moving average (N,) that starts unbiased, as TensorBoard's smoothing does. keep: 0 for none, to 1."""
    average, weight = 0.0, 0.0
    smoothed = []
    for value in values:
        average = keep * average + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smoothed.append(average / weight)
    return np.array(smoothed)


def draw_losses(curves: Mapping[str, Series]) -> Figure:
    """One panel a loss, raw and smoothed over a tenth of its points."""
    figure, panels = _panels(len(curves))
    for axes, (name, (steps, values)) in zip(panels, curves.items(), strict=False):
        axes.plot(steps, values, color=_COLOURS[0], alpha=0.5, linewidth=1.0, label="raw")
        keep = 1 - 1 / max(2.0, len(values) / 10)
        axes.plot(steps, smooth(values, keep), color=_COLOURS[0], label="smoothed")
        if values.size and values.min() > 0 and values.max() > 20 * values.min():
            axes.set_yscale("log")
        axes.set(title=name, xlabel="step")
    panels[0].legend()
    return figure


def draw_validation(curves: Mapping[str, Series], best: int | None = None) -> Figure:
    """One panel a figure, with a dot for every evaluation. best: the step whose weights were kept."""
    figure, panels = _panels(len(curves))
    for axes, (name, (steps, values)) in zip(panels, curves.items(), strict=False):
        axes.plot(steps, values, color=_COLOURS[2], marker="o", markersize=4)
        if best is not None:
            axes.axvline(best, color=_COLOURS[1], linestyle=":", linewidth=1.2, label="best.pt")
        axes.set(title=name, xlabel="step")
        axes.margins(y=0.15)
    if best is not None:
        panels[0].legend()
    return figure


def draw_rate(curve: Series) -> Figure:
    """The learning rate by step."""
    figure, (axes,) = _panels(1)
    axes.plot(*curve, color=_COLOURS[3])
    axes.set(title="learning rate", xlabel="step", ylim=(0, None))
    axes.yaxis.set_major_formatter("{x:.1e}")
    return figure


def draw_precision_recall(coco: CocoFigures) -> Figure:
    """Precision over recall at IoU 0.5 and 0.75 and averaged over 0.50:0.95."""
    figure, (axes,) = _panels(1, (5.2, 3.6))
    curves = {
        f"IoU 0.50, AP {coco.ap50:.3f}": coco.curve(0.5),
        f"IoU 0.75, AP {coco.ap75:.3f}": coco.curve(0.75),
        f"IoU 0.50:0.95, AP {coco.ap:.3f}": coco.precisions.mean(axis=0),
    }
    for (label, precision), colour, line in zip(curves.items(), _COLOURS, _STYLES, strict=False):
        axes.plot(coco.recalls, precision, color=colour, linestyle=line, label=label)
    axes.set(title="precision and recall", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure


def draw_pck(errors: PoseErrors) -> Figure:
    """The share of correct keypoints over the threshold: in shares of the hand's size, and in pixels."""
    figure, panels = _panels(2, (4.4, 3.2))
    for axes, limit, in_pixels in zip(panels, (AUC_LIMIT, AUC_PIXELS), (False, True), strict=True):
        thresholds = np.linspace(0, limit, 101)
        for (name, joints), colour, line in zip(_GROUPS.items(), _COLOURS, _STYLES, strict=False):
            chosen = np.zeros(21, bool)
            chosen[list(joints)] = True
            group = PoseErrors(errors.pixels, errors.sides, errors.labelled & chosen)
            area = group.joint().auc_30px if in_pixels else group.joint().auc
            axes.plot(
                thresholds,
                group.curve(thresholds, in_pixels),
                color=colour,
                linestyle=line,
                label=f"{name}, AUC {area:.3f}",
            )
        label = (
            "threshold in pixels of the photo" if in_pixels else "threshold / larger side of the hand's box"
        )
        axes.set(xlabel=label, xlim=(0, limit), ylim=(0, 1.02))
        axes.legend(loc="lower right")
    panels[0].set(title="PCK", ylabel="share of correct keypoints")
    panels[1].set(title="PCK in pixels")
    return figure


def draw_reliability(calibrations: Sequence[Calibrated]) -> Figure:
    """One panel a kind of score: how often it is right, by bins of what it claims, before and after calibration."""
    figure, panels = _panels(len(calibrations), (3.6, 3.6))
    for axes, calibration in zip(panels, calibrations, strict=False):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1.0, linestyle=":")
        _reliability_bars(axes, calibration.before)
        if (after := calibration.after) is not None:
            filled = after.counts > 0
            label = f"calibrated, ECE {after.ece:.3f}"
            places = after.confidence[filled], after.accuracy[filled]
            axes.plot(*places, color=_COLOURS[1], linewidth=0.8)
            # The fuller a bin, the larger its dot.
            area = 10 + 110 * after.counts[filled] / after.counts.max()
            axes.scatter(*places, s=area, color=_COLOURS[1], label=label, zorder=3)
        axes.set(title=calibration.name, xlabel="score", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18))
    panels[0].set(ylabel="share that is right")
    return figure


def _reliability_bars(axes: Axes, reliability: Reliability) -> None:
    bins = len(reliability.counts)
    width = 1 / bins
    centres = (np.arange(bins) + 0.5) * width
    filled = reliability.counts > 0
    # The fuller a bin, the darker its bar.
    weight = 0.25 + 0.75 * reliability.counts / max(int(reliability.counts.max()), 1)
    bars = axes.bar(
        centres[filled],
        reliability.accuracy[filled],
        width * 0.92,
        color=_COLOURS[0],
        label=f"as it is, ECE {reliability.ece:.3f}",
    )
    for bar, alpha in zip(bars, weight[filled], strict=True):
        bar.set_alpha(float(alpha))


def _panels(count: int, size: tuple[float, float] = _PANEL, per_row: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in rows; places left over are blank."""
    columns = max(1, min(count, per_row))
    rows = max(1, math.ceil(count / columns))
    figure, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
    panels: list[Axes] = list(axes.flat)
    _hide(panels[count:])
    return figure, panels[: max(count, 1)]


def _hide(panels: Iterable[Axes]) -> None:
    for axes in panels:
        axes.set_visible(False)
