"""Light falls where it should."""

import numpy as np
import pytest

from training.datasets.synthetic.appearance import draw_skin, plain
from training.datasets.synthetic.objects import BALL, BOX, solid_part
from training.datasets.synthetic.raster import rasterise
from training.datasets.synthetic.shading import Lighting, Rendering, shade
from training.datasets.synthetic.surfaces import Part, join

SIZE = 48
GREY = np.full(3, 0.5)


def lit_from(direction: list[float], shadow: float = 0.0, colour: float = 0.8) -> Lighting:
    towards = np.array([direction, [0.0, 0.0, -1.0]], float)
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    lamps = np.array([[colour] * 3, [0.0] * 3])
    return Lighting(towards, lamps, np.full(3, 0.1), np.full(3, 0.1), shadow, 1.0)


def ball(radius: float, centre: list[float], surface: np.void | None = None) -> Part:
    surface = plain(GREY, 0.0) if surface is None else surface
    return solid_part(BALL, np.full(3, radius), np.eye(3), np.array(centre, float), surface)


def render(parts: list[Part], lighting: Lighting) -> Rendering:
    geometry = join(parts)
    return shade(geometry, rasterise(geometry, SIZE), lighting, 4.0)


@pytest.mark.parametrize(("direction", "brighter"), [([1, 0, -0.5], (24, 34)), ([-1, 0, -0.5], (24, 14))])
def test_the_side_that_faces_the_lamp_is_brighter(direction, brighter):
    colour = render([ball(16, [24, 24, 0])], lit_from(direction)).colour.mean(axis=2)
    row, column = brighter
    assert colour[row, column] > colour[row, 48 - column] + 0.1


def test_light_from_above_lights_the_top():
    colour = render([ball(16, [24, 24, 0])], lit_from([0, -1, -0.5])).colour.mean(axis=2)
    assert colour[12, 24] > colour[36, 24] + 0.1


def test_something_before_the_lamp_casts_a_shadow():
    wall = solid_part(BOX, np.array([22.0, 22, 1]), np.eye(3), np.array([24.0, 24, 20]), plain(GREY, 0.0))
    thing = ball(5, [12, 24, -10])
    with_shadow = render([wall, thing], lit_from([-1, 0, -1], shadow=1.0)).colour
    without = render([wall, thing], lit_from([-1, 0, -1], shadow=0.0)).colour
    darker = (without - with_shadow).mean(axis=2)
    assert darker[24, 36:44].max() > 0.2  # thrown to the right, away from the lamp
    assert darker[6, 24] < 0.02


def test_colours_stay_in_range_and_uncovered_pixels_are_empty():
    skin = draw_skin(np.random.default_rng(1))
    rendering = render([ball(16, [24, 24, 0], skin)], lit_from([0, 0, -1], colour=9.0))
    assert rendering.colour.min() >= 0
    assert rendering.colour.max() <= 1
    assert rendering.coverage[0, 0] == 0
    assert rendering.coverage[24, 24] == 1
    assert (rendering.colour[0, 0] == 0).all()
