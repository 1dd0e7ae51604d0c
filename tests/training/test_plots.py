from pathlib import Path

import cv2
import numpy as np
import pytest

from training import plots
from training.calibrate import Calibrated
from training.calibration import Platt, reliability
from training.coco_metrics import coco_figures
from training.pose_metrics import PoseErrors


def curve(*values: float) -> plots.Series:
    return np.arange(len(values), dtype=float) * 50, np.array(values, float)


def test_smoothing_starts_unbiased_and_follows() -> None:
    values = np.array([4.0, 4.0, 4.0, 0.0])
    assert plots.smooth(values, 0.0).tolist() == values.tolist()
    smoothed = plots.smooth(values, 0.5)
    assert smoothed[:3].tolist() == pytest.approx([4, 4, 4])
    assert 0 < smoothed[3] < 4


def test_a_plot_is_written_for_light_and_for_dark_pages(tmp_path: Path) -> None:
    size = plots.save(lambda: plots.draw_rate(curve(0, 1, 0.5)), tmp_path, "rate")
    light, dark = (cv2.imread(str(tmp_path / f"rate{theme}.png")) for theme in plots.THEMES)
    assert light.shape == dark.shape == (size[1], size[0], 3)
    assert light.mean() > 200
    assert dark.mean() < 80


def test_panels_are_as_many_as_curves_and_long_ranges_are_logarithmic() -> None:
    figure = plots.draw_losses({"loss": curve(100, 10, 1), "part": curve(1, 0.9, 0.8)})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "part"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    raw, smoothed = figure.axes[1].lines
    assert raw.get_ydata().tolist() == pytest.approx([1, 0.9, 0.8])
    assert smoothed.get_ydata()[-1] > 0.8
    plots.plt.close(figure)
    figure = plots.draw_validation({name: curve(0.1, 0.2) for name in "abcd"}, best=50)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    plots.plt.close(figure)


def test_curves_show_what_was_measured() -> None:
    truth = [np.array([[0, 0, 10, 10], [20, 20, 10, 10]], np.float32)]
    coco = coco_figures([truth[0][:1]], [np.array([0.9])], truth, [100])
    figure = plots.draw_precision_recall(coco)
    first = figure.axes[0].lines[0]
    assert first.get_ydata()[50] == pytest.approx(1)
    assert first.get_ydata()[51] == 0
    plots.plt.close(figure)

    errors = PoseErrors(np.full((1, 21), 10.0), np.array([100.0]), np.ones((1, 21), bool))
    figure = plots.draw_pck(errors)
    for axes, step in zip(figure.axes, (0.1, 10.0), strict=True):
        x, y = axes.lines[0].get_data()
        assert set(y[x < step - 1e-9]) == {0.0}
        assert set(y[x > step + 1e-9]) == {1.0}
    plots.plt.close(figure)


def test_reliability_has_a_bar_for_each_filled_bin() -> None:
    scores, correct = np.array([0.1, 0.1, 0.9]), np.array([False, True, True])
    before, after = reliability(scores, correct), reliability(np.sqrt(scores), correct)
    figure = plots.draw_reliability(
        [Calibrated("score", before, Platt(1, 1), after), Calibrated("side", before, None, None)]
    )
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == pytest.approx([0.5, 1.0])
    assert [len(axes.collections) for axes in figure.axes] == [1, 0]
    plots.plt.close(figure)
