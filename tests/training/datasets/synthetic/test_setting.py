"""What is behind the hands of a sequence."""

import cv2
import numpy as np

from training.datasets.synthetic.appearance import HandAppearance, draw_skin
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.setting import Setting, draw_cast, draw_setting


def setting(seed: int, backgrounds: Backgrounds | None = None) -> Setting:
    rng = np.random.default_rng(seed)
    owner = HandAppearance(draw_skin(rng))
    return draw_setting(rng, backgrounds or Backgrounds([]), [owner], 128, 96, 40.0, 100.0, True)


def test_the_backdrop_moves_with_the_camera_and_has_no_edge():
    place = setting(0)
    still = place.backdrop(np.zeros(2))
    assert still.shape == (128, 128, 3)
    moved = place.backdrop(np.array([4.0, -3.0]))
    np.testing.assert_allclose(moved[:-3, 4:], still[3:, :-4], atol=1e-6)
    assert np.isfinite(place.backdrop(np.array([30.0, 30.0]))).all()


def test_sometimes_somebody_sits_behind_the_hands():
    scenes = [setting(seed) for seed in range(12)]
    assert 2 <= sum(bool(scene.scenery) for scene in scenes) <= 10
    for scene in scenes:
        assert all(part.vertices[:, 2].min() > 60 and part.owner == -1 for part in scene.scenery)


def test_photos_that_may_show_hands_are_not_used(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((64, 64, 3), 255, np.uint8))
    for seed in range(5):
        place = setting(seed, Backgrounds([tmp_path]))
        assert place.complete
        assert np.ptp(place.background) > 0.01  # a made-up picture; the photo is of one colour


def test_the_first_two_hands_are_one_persons_pair():
    for seed in range(6):
        one, other, third = draw_cast(np.random.default_rng(seed), 3)
        assert {one[2], other[2]} == {"left", "right"}
        assert one[:2] == other[:2]
        assert third[0] != one[0]
    assert {draw_cast(np.random.default_rng(seed), 1)[0][2] for seed in range(6)} == {"left", "right"}


def test_fair_skin_is_not_burnt_out():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        skin = draw_skin(rng)
        skin["colour"] = 0.9
        place = draw_setting(rng, Backgrounds([]), [HandAppearance(skin)], 128, 96, 40.0, 100.0, False)
        light = place.lighting
        assert float((light.above + light.colours[0]).max()) * 0.9 * light.exposure <= 0.86
