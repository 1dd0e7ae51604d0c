"""How hands and things look: skin, clothes, gloves, jewellery, materials, and the light they stand in."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from training.datasets.synthetic.shading import Lighting
from training.datasets.synthetic.surfaces import SURFACE
from training.datasets.synthetic.vectors import Array, unit

Generator = np.random.Generator

# Display RGB, light to dark, after the Monk Skin Tone scale (CC BY 4.0, Ellis Monk / Google); its three lightest
# tones, which as an albedo come out like chalk, are replaced by rosier ones.
SKIN_TONES = (
    np.array(
        [
            [237, 199, 179],
            [235, 191, 168],
            [230, 184, 153],
            [0xEA, 0xC8, 0xA8],
            [0xE0, 0xB0, 0x90],
            [0xC8, 0x96, 0x70],
            [0xA0, 0x7E, 0x56],
            [0x82, 0x5C, 0x43],
            [0x60, 0x41, 0x34],
            [0x3A, 0x31, 0x2A],
        ]
    )
    / 255.0
)
PALM_OF_DARK_SKIN = np.array([0.88, 0.66, 0.56])
NAIL = np.array([0.93, 0.76, 0.72])
GOLD, SILVER = np.array([0.8, 0.6, 0.25]), np.array([0.7, 0.7, 0.7])


@dataclass(frozen=True, eq=False)
class Sleeve:
    """A sleeve from `start` (along the arm: 0 wrist, 1 elbow) upwards, standing off the skin by `thickness` (hand
    lengths) at the elbow and `flare` times more at the wrist."""

    start: float
    thickness: float
    flare: float
    surface: np.void


@dataclass(frozen=True, eq=False)
class HandAppearance:
    """One person's arm: its skin (with jewellery and painted nails), and what it wears. A glove covers the hand."""

    skin: np.void
    sleeve: Sleeve | None = None
    glove: np.void | None = None


def linear(display: Array) -> Array:
    """Display RGB in 0..1 to linear albedo."""
    return np.clip(display, 0.01, 1) ** 2.2


def draw_skin(rng: Generator) -> np.void:
    """Skin of any tone, the palm of dark skin lighter than its back; sometimes with painted nails or jewellery."""
    tone = rng.uniform(0, len(SKIN_TONES) - 1.2)
    lower = int(tone)
    back = SKIN_TONES[lower] + (SKIN_TONES[lower + 1] - SKIN_TONES[lower]) * (tone - lower)
    back = np.clip(back * (1 + rng.normal(0, 0.05)) + rng.normal(0, 0.02, 3), 0.04, 0.95)
    darkness = 1 - back.mean()
    lighter = np.clip(0.15 + 0.55 * darkness * rng.uniform(0.5, 1.1), 0, 0.7)
    palm = back + (PALM_OF_DARK_SKIN - back) * lighter
    flush = back * ([1.02, 0.80, 0.76] if back.mean() > 0.45 else [0.9, 0.85, 0.85])
    nail = back + (NAIL - back) * rng.uniform(0.25, 0.6)
    if rng.random() < 0.12:
        nail = rng.uniform(0, 1, 3)
    skin = np.zeros((), SURFACE)
    skin["skin"] = 1
    for name, colour in (("colour", back), ("palm", palm), ("flush", flush), ("nail", nail)):
        skin[name] = linear(colour)
    skin["texture"] = rng.uniform(0.4, 1.2)
    skin["specular"] = rng.uniform(0, 0.25)
    skin["gloss"] = rng.uniform(8, 40)
    skin["ring_finger"] = rng.integers(1, 5) if rng.random() < 0.12 else -1
    skin["ring_start"] = rng.uniform(0.3, 0.6)
    if rng.random() < 0.12:
        skin["band_start"] = rng.uniform(0.03, 0.2)
        skin["band_end"] = skin["band_start"] + rng.uniform(0.01, 0.12)
    metal = GOLD if rng.random() < 0.4 else SILVER
    skin["metal"] = linear(metal if rng.random() < 0.7 else rng.uniform(0.02, 0.9, 3))
    return cast(np.void, skin[()])


def _draw_colour(rng: Generator) -> Array:
    """Any colour, or a grey between black and white."""
    if rng.random() < 0.5:
        return np.full(3, rng.uniform(0.02, 0.85))
    return np.clip(rng.uniform(0, 1, 3) ** 1.5, 0.01, 0.9)


def draw_material(rng: Generator, shine: float = 0.6) -> np.void:
    """A plain material, sometimes striped; `shine` limits its highlight (about 0.15 for cloth)."""
    material = np.zeros((), SURFACE)
    material["colour"] = _draw_colour(rng)
    material["coarse"], material["fine"] = rng.uniform(0, 0.2, 2)
    if rng.random() < 0.3:
        material["stripes"] = rng.uniform(0.1, 0.5)
        material["stripe_wave"] = rng.normal(0, 60, 3)
    material["specular"] = rng.uniform(0, shine)
    material["gloss"] = rng.uniform(10, 40)
    material["ring_finger"] = -1
    return cast(np.void, material[()])


def plain(colour: Array, specular: float = 0.1) -> np.void:
    """A material of one linear RGB colour (3,)."""
    material = np.zeros((), SURFACE)
    material["colour"], material["fine"] = colour, 0.08
    material["specular"], material["gloss"], material["ring_finger"] = specular, 20, -1
    return cast(np.void, material[()])


def draw_sleeve(rng: Generator) -> Sleeve:
    """A sleeve that ends anywhere from the knuckle side of the wrist to close below the elbow."""
    start = rng.uniform(-0.1, 0.3) if rng.random() < 0.6 else rng.uniform(0.3, 0.8)
    return Sleeve(start, rng.uniform(0.012, 0.08), rng.uniform(0, 0.6), draw_material(rng, 0.15))


def draw_appearance(rng: Generator) -> HandAppearance:
    """An arm: bare or in a sleeve, now and then with a glove."""
    skin = draw_skin(rng)
    sleeve = draw_sleeve(rng) if rng.random() < 0.55 else None
    glove = draw_material(rng, 0.3) if rng.random() < 0.03 else None
    return HandAppearance(skin, sleeve, glove)


def draw_lighting(rng: Generator, surroundings: Array) -> Lighting:
    """Light that fits a background of mean linear colour `surroundings` (3,): one lamp that casts shadows, mostly
    from above and in front; one weaker lamp from anywhere; ambient light that takes part of its hue from there."""

    def direction(in_front: bool) -> Array:
        towards = rng.normal(size=3)
        if in_front and towards[2] > 0.3:
            towards[2] *= -1
        if rng.random() < 0.65:
            towards[1] = -abs(towards[1])
        return unit(towards)

    directions = np.stack([direction(True), direction(False)])
    warmth = rng.normal(0, 0.12)
    key = np.array([1 + warmth, 1, 1 - warmth]) * rng.uniform(0.2, 1.1)
    fill = np.array([1 - warmth, 1, 1 + warmth]) * rng.uniform(0, 0.45)
    hue = surroundings / max(float(surroundings.mean()), 1e-3)
    hue = 1 + (np.clip(hue, 0.4, 1.8) - 1) * rng.uniform(0, 0.5)
    above = np.clip(hue * rng.uniform(0.2, 0.7) + rng.normal(0, 0.04, 3), 0.05, 1)
    below = np.clip(above * rng.uniform(0.35, 1) + rng.normal(0, 0.03, 3), 0.03, 1)
    return Lighting(
        directions=directions,
        colours=np.stack([key, fill]),
        above=above,
        below=below,
        shadow=float(rng.uniform(0.3, 0.95)),
        exposure=float(rng.uniform(0.7, 1.35)),
    )
