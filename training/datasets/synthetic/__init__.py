"""Rendered hands with exact labels: crops for the pose model and whole scenes for the detector."""

from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.crops import render_crop
from training.datasets.synthetic.pool import RenderedPool
from training.datasets.synthetic.scenes import render_scene

__all__ = ["Backgrounds", "RenderedPool", "render_crop", "render_scene"]
