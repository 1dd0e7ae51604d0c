import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.datasets.coco import CocoHands
from training.datasets.synthetic.backgrounds import Backgrounds, held_out
from training.datasets.synthetic.slice_layouts import SLICES, poor_light
from training.datasets.synthetic.slices import render_slice, write_slices

MADE_UP = Backgrounds([])


@pytest.mark.parametrize("name", sorted(SLICES))
def test_a_slice_keeps_its_promises(name: str) -> None:
    layout = SLICES[name]
    picture = render_slice(name, 0, MADE_UP)
    assert picture.image.shape == (layout.height, layout.width, 3)
    assert picture.image.dtype == np.uint8
    assert picture.complete
    assert picture.group == name
    assert layout.hands[0] <= len(picture.hands) <= layout.hands[1]
    for hand in picture.hands:
        assert (hand.box[:2] >= 0).all()
        assert (hand.box[:2] + hand.box[2:] <= [layout.width, layout.height]).all()
        assert hand.keypoints is not None
        assert hand.labelled is not None
        assert hand.visible is not None
        inside = ((hand.keypoints >= 0) & (hand.keypoints < [layout.width, layout.height])).all(axis=1)
        assert (hand.labelled == inside).all()
        assert not (hand.visible & ~hand.labelled).any()
        assert hand.visible.mean() >= layout.seen


def test_equal_arguments_give_equal_pictures_and_others_do_not() -> None:
    one, same, other = (render_slice("back", index, MADE_UP) for index in (3, 3, 4))
    assert (one.image == same.image).all()
    assert (one.hands[0].box == same.hands[0].box).all()
    assert (one.image != other.image).any()


def test_an_unknown_slice_is_refused() -> None:
    with pytest.raises(KeyError, match="gloves"):
        render_slice("gloves", 0, MADE_UP)


def test_a_hand_at_the_edge_is_cut_off() -> None:
    cut = [render_slice("edge", index, MADE_UP).hands[0] for index in range(3)]
    for hand in cut:
        low, high = hand.box[:2], hand.box[:2] + hand.box[2:]
        assert (low < 1).any() or (high > np.array([639, 479])).any()
    assert any(not hand.labelled.all() for hand in cut if hand.labelled is not None)


def test_poor_light_darkens() -> None:
    bright = np.full((64, 64, 3), 0.8, np.float32)
    dim = poor_light(np.random.default_rng(1), bright)
    assert dim.mean() < 0.6 * bright.mean()
    assert dim.min() >= 0


def test_files_are_read_back_as_they_were_rendered_and_kept(tmp_path: Path) -> None:
    file = write_slices(tmp_path, MADE_UP, 2, ["crossing"], processes=1)["crossing"]
    photos = CocoHands(file)
    for index in range(2):
        rendered, kept = render_slice("crossing", index, MADE_UP), photos[index]
        largest_first = sorted(rendered.hands, key=lambda hand: -float(hand.box[2] * hand.box[3]))
        for hand, other in zip(largest_first, kept.hands, strict=True):
            assert hand.handedness == other.handedness
            np.testing.assert_allclose(hand.box, other.box, atol=0.01)
            np.testing.assert_array_equal(hand.labelled, other.labelled)
            np.testing.assert_array_equal(hand.visible, other.visible)
            np.testing.assert_allclose(
                hand.keypoints[hand.labelled], other.keypoints[hand.labelled], atol=0.01
            )  # type: ignore[index]
        assert np.abs(kept.image.astype(int) - rendered.image).mean() < 6  # JPEG
    picture = tmp_path / "crossing" / "0000.jpg"
    cv2.imwrite(str(picture), np.zeros((480, 640, 3), np.uint8))
    write_slices(tmp_path, MADE_UP, 2, ["crossing"], processes=1)
    assert not CocoHands(file)[0].image.any()  # not rendered again
    content = json.loads(file.read_text())
    content["info"]["version"] = -1
    file.write_text(json.dumps(content))
    write_slices(tmp_path, MADE_UP, 2, ["crossing"], processes=1)
    assert CocoHands(file)[0].image.any()


def test_about_a_fifth_of_the_backgrounds_is_held_out() -> None:
    share = np.mean([held_out(Path(f"{number:04d}.jpg")) for number in range(2000)])
    assert 0.17 < share < 0.23
    assert held_out(Path("a/0005.jpg")) == held_out(Path("b/0005.jpg"))
