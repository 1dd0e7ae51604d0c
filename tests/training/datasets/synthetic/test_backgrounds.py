"""Backgrounds come from the folders, or are made up."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.datasets.synthetic.backgrounds import Backgrounds, held_out, procedural, table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten plain photos; the red channel tells which."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        picture = np.zeros((60, 90, 3), np.uint8)
        picture[..., 2] = 20 * number + 30  # red, in OpenCV's order
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def reds(backgrounds: Backgrounds, count: int = 200) -> set[int]:
    """The photos drawn: red is their number, green and blue are 0 (a made-up picture is seldom so)."""
    rng = np.random.default_rng(0)
    drawn = [backgrounds.crop(rng, 24) for _ in range(count)]
    return {int(crop[0, 0, 0]) for crop in drawn if (crop[..., 1:] == 0).all()}


def test_crops_come_from_all_photos_in_rgb(photos):
    assert reds(Backgrounds([photos])) == set(range(30, 230, 20))
    crop = Backgrounds([photos]).crop(np.random.default_rng(0), 33)
    assert crop.shape == (33, 33, 3)
    assert crop.dtype == np.uint8


def test_photos_can_be_left_out_even_all(photos):
    kept = Backgrounds([photos], exclude=lambda path: path.stem in "02468").files
    assert [path.stem for path in kept] == ["1", "3", "5", "7", "9"]
    assert Backgrounds([photos], exclude=lambda path: True).crop(np.random.default_rng(0), 9).shape == (
        9,
        9,
        3,
    )


def test_photos_of_hold_outs_are_not_trained_on(tmp_path):
    names = [f"{number}.png" for number in range(30)]
    for folder in ("behind", "free"):
        (tmp_path / folder).mkdir()
        for name in names:
            cv2.imwrite(str(tmp_path / folder / name), np.zeros((8, 8, 3), np.uint8))
    backgrounds = Backgrounds.of_training(tmp_path, ["behind"], ["free"])
    trained = {name for name in names if not held_out(Path(name))}
    assert 0 < len(trained) < len(names)
    assert {path.name for path in backgrounds.files} == trained
    assert {path.parent.name for path in backgrounds.free_files} == {"free"}


def test_large_photos_are_reduced(photos):
    cv2.imwrite(str(photos / "big.png"), np.zeros((100, 900, 3), np.uint8))
    crop = Backgrounds([photos], max_side=90).crop(np.random.default_rng(1), 16)
    assert crop.shape == (16, 16, 3)


def test_drawing_is_deterministic(photos):
    first, second = (Backgrounds([photos]).crop(np.random.default_rng(7), 20) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_it_is_known_which_pictures_show_no_hand(photos, tmp_path):
    free = tmp_path / "free"
    free.mkdir()
    cv2.imwrite(str(free / "a.png"), np.full((40, 40, 3), 255, np.uint8))
    backgrounds = Backgrounds([photos, free], hand_free=[free])
    rng = np.random.default_rng(0)
    for _ in range(100):
        picture, known_free = backgrounds.draw(rng, 12)
        if (picture[..., 1:] == 0).all() and picture[0, 0, 0] >= 30:
            assert not known_free
    assert all(backgrounds.draw(rng, 12, free_only=True)[1] for _ in range(50))
    assert Backgrounds([photos]).draw(rng, 12, free_only=True)[1]  # made up, where there is no such photo


def test_the_fingerprint_tells_pictures_and_settings_apart(photos):
    plain = Backgrounds([photos]).fingerprint()
    assert plain == Backgrounds([photos]).fingerprint()
    assert plain != Backgrounds([photos], exclude=lambda path: path.stem == "3").fingerprint()
    assert plain != Backgrounds([photos], max_side=200).fingerprint()
    assert plain != Backgrounds([photos], hand_free=[photos]).fingerprint()
    assert plain != Backgrounds([]).fingerprint()


def test_bad_folders_and_files_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        Backgrounds([tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        Backgrounds([tmp_path])
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    backgrounds = Backgrounds([tmp_path])
    rng = np.random.default_rng(0)
    assert rng.random() > 0.12  # so that the next picture drawn is the photo
    rng = np.random.default_rng(0)
    with pytest.raises(OSError, match=r"broken\.jpg cannot be read"):
        backgrounds.crop(rng, 16)


def test_made_up_pictures_differ():
    rng = np.random.default_rng(0)
    drawn = [procedural(rng, 40) for _ in range(3)] + [table(rng, 40, procedural(rng, 40)) for _ in range(3)]
    assert all(picture.shape == (40, 40, 3) and picture.dtype == np.uint8 for picture in drawn)
    assert len({picture.tobytes() for picture in drawn}) == 6
