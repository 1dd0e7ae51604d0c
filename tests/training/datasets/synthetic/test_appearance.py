"""Skin, materials and light are drawn within reason."""

import numpy as np

from training.datasets.synthetic.appearance import (
    draw_appearance,
    draw_lighting,
    draw_material,
    draw_skin,
    draw_sleeve,
    linear,
    plain,
)


def test_skin_of_all_tones_with_a_paler_palm_on_dark_skin():
    skins = [draw_skin(np.random.default_rng(seed)) for seed in range(300)]
    tone = np.array([skin["colour"].mean() for skin in skins])
    assert tone.min() < 0.06
    assert tone.max() > 0.5
    palm = np.array([skin["palm"].mean() for skin in skins])
    assert (palm[tone < 0.1] > 1.3 * tone[tone < 0.1]).all()
    assert all(skin["skin"] == 1 for skin in skins)
    assert 0.05 < np.mean([skin["ring_finger"] >= 0 for skin in skins]) < 0.25


def test_materials_are_not_skin_and_keep_their_shine_low():
    materials = [draw_material(np.random.default_rng(seed), 0.15) for seed in range(50)]
    assert all(material["skin"] == 0 and material["specular"] <= 0.15 for material in materials)
    np.testing.assert_allclose(plain(np.full(3, 0.25))["colour"], 0.25)


def test_sleeves_and_gloves_come_and_go():
    drawn = [draw_appearance(np.random.default_rng(seed)) for seed in range(300)]
    assert 0.4 < np.mean([arm.sleeve is not None for arm in drawn]) < 0.7
    assert 0 < np.mean([arm.glove is not None for arm in drawn]) < 0.1
    assert draw_sleeve(np.random.default_rng(0)).thickness > 0


def test_linear_undoes_display_gamma():
    np.testing.assert_allclose(linear(np.array([0.5, 1.0])), [0.5**2.2, 1.0])


def test_lamps_are_unit_vectors_and_ambient_light_takes_the_surroundings_hue():
    rng = np.random.default_rng(5)
    lights = [draw_lighting(rng, np.array([0.5, 0.2, 0.05])) for _ in range(200)]
    for light in lights:
        np.testing.assert_allclose(np.linalg.norm(light.directions, axis=1), 1)
    assert (
        np.quantile([light.directions[0, 2] for light in lights], 0.9) < 0.4
    )  # the main lamp is seldom behind
    assert np.mean([light.directions[0, 1] < 0 for light in lights]) > 0.7  # and mostly above
    ambient = np.mean([light.above for light in lights], axis=0)
    assert ambient[0] > ambient[1] > ambient[2]
