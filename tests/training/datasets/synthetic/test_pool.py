"""The pool on disk: lazy, deterministic, whole or not at all."""

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from training.datasets.synthetic import Backgrounds, RenderedPool, render_crop, render_scene
from training.datasets.synthetic.pool import MOST_HANDS, item_seed, pack, unpack
from training.datasets.types import HandLabel, LabelledImage

SIZE = 48


def pool_at(path: Path, kind: str = "crop", count: int = 6, size: int = SIZE, seed: int = 3) -> RenderedPool:
    return RenderedPool(path, kind, count, size, seed, Backgrounds([]))


def assert_same(first: LabelledImage, second: LabelledImage) -> None:
    np.testing.assert_array_equal(first.image, second.image)
    assert first.complete == second.complete
    assert len(first.hands) == len(second.hands)
    for a, b in zip(first.hands, second.hands, strict=True):
        assert a.handedness == b.handedness
        for name in ("box", "keypoints", "labelled", "visible", "depth"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(("kind", "render"), [("crop", render_crop), ("scene", render_scene)])
def test_items_are_what_rendering_gives_before_and_after_caching(tmp_path, kind, render):
    pool = pool_at(tmp_path / "pool", kind)
    fresh = pool[2]
    assert pool.filled().tolist() == [False, False, True, False, False, False]
    assert_same(fresh, render(item_seed(3, 2), SIZE, Backgrounds([])))
    assert_same(pool_at(tmp_path / "pool", kind)[2], fresh)


def test_cached_items_are_not_rendered_again(tmp_path, monkeypatch):
    pool = pool_at(tmp_path / "pool")
    pool[0]

    def forbidden(*arguments: object) -> LabelledImage:
        raise AssertionError("rendered again")

    monkeypatch.setattr("training.datasets.synthetic.pool.render_crop", forbidden)
    pool[0]
    with pytest.raises(AssertionError, match="rendered again"):
        pool[1]


def test_a_half_written_item_is_rendered_again(tmp_path):
    pool = pool_at(tmp_path / "pool")
    whole = pool[4]
    pool._images[4, 10:] = 0  # as a crash in the middle of writing would leave it
    assert_same(pool[4], whole)
    pool._labels[4] = np.zeros((), pool._labels.dtype)
    assert_same(pool_at(tmp_path / "pool")[4], whole)


def test_items_handed_out_are_copies(tmp_path):
    pool = pool_at(tmp_path / "pool")
    pool[1].image[:] = 0
    pool[1].hands[0].keypoints[:] = 0
    assert pool[1].image.any()
    assert pool[1].hands[0].keypoints.any()


def test_a_larger_pool_goes_on_with_a_smaller_one(tmp_path):
    small = pool_at(tmp_path / "pool", count=3)
    first = small[2]
    large = pool_at(tmp_path / "pool", count=7)
    assert large.filled().tolist() == [False, False, True, False, False, False, False]
    assert_same(large[2], first)
    assert_same(large[6], render_crop(item_seed(3, 6), SIZE, Backgrounds([])))
    assert_same(small[1], large[1])  # still open
    again = pool_at(tmp_path / "pool", count=3)
    assert len(again) == len(again.filled()) == 3
    assert again.filled().tolist() == [False, True, True]
    assert pool_at(tmp_path / "pool", count=7).filled()[6]  # nothing was cut off


def test_room_for_the_whole_pool_is_taken_at_once_and_in_an_older_sparse_pool(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delattr(os, "posix_fallocate")
        first = pool_at(tmp_path / "pool", count=90)[2]
    images = tmp_path / "pool" / "images.bin"
    assert images.stat().st_blocks * 512 < 90 * SIZE**2 * 3
    pool = pool_at(tmp_path / "pool", count=90)
    assert images.stat().st_blocks * 512 >= images.stat().st_size == 90 * SIZE**2 * 3
    assert pool.filled()[2]
    assert_same(pool[2], first)


def test_a_full_disk_is_told_with_the_file_and_its_size(tmp_path, monkeypatch):
    def full(file: int, *_: int) -> None:
        os.truncate(file, 5000)  # as far as it went
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: 41,472 bytes are needed: .*images\.bin"):
        pool_at(tmp_path / "pool")
    assert (tmp_path / "pool" / "images.bin").stat().st_size == 0


@pytest.mark.parametrize("reason", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_reserves_no_room_has_pools_too(tmp_path, monkeypatch, reason):
    def unable(*_: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "posix_fallocate", unable)
    assert_same(pool_at(tmp_path / "pool")[1], render_crop(item_seed(3, 1), SIZE, Backgrounds([])))


def test_pools_of_several_kinds_sizes_and_seeds_lie_side_by_side(tmp_path):
    for kind, size, seed in (("crop", 48, 3), ("crop", 64, 3), ("crop", 48, 4), ("scene", 48, 3)):
        pool = RenderedPool.within(tmp_path, kind, 2, size, seed, Backgrounds([]))
        assert not pool.filled().any()
        pool[0]
    assert len(list(tmp_path.iterdir())) == 4
    assert RenderedPool.within(tmp_path, "crop", 5, 48, 3, Backgrounds([])).filled()[0]


@pytest.mark.parametrize(
    "other", [{"kind": "scene"}, {"size": 64}, {"seed": 4}], ids=lambda other: next(iter(other))
)
def test_a_pool_made_otherwise_is_refused(tmp_path, other):
    pool_at(tmp_path / "pool")
    name = next(iter(other))
    with pytest.raises(
        ValueError, match=f"another pool of rendered pictures: .*{name} is.*; remove the folder"
    ):
        pool_at(tmp_path / "pool", **other)


def test_a_pool_of_an_older_renderer_is_refused(tmp_path):
    pool_at(tmp_path / "pool")
    card = tmp_path / "pool" / "pool.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"version": 0}))
    with pytest.raises(ValueError, match="version is 0"):
        pool_at(tmp_path / "pool")


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not empty"):
        pool_at(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_indices_out_of_range_and_bad_parameters_are_errors(tmp_path):
    pool = pool_at(tmp_path / "pool")
    for index in (-1, 6):
        with pytest.raises(IndexError):
            pool[index]
    assert len(pool) == 6
    with pytest.raises(ValueError, match="kind"):
        pool_at(tmp_path / "other", kind="video")
    with pytest.raises(ValueError, match="not possible"):
        pool_at(tmp_path / "other", count=0)


def test_pools_travel_to_other_processes_without_their_pictures(tmp_path):
    pool = pool_at(tmp_path / "pool")
    sent = pickle.dumps(pool)
    assert len(sent) < 4000
    assert_same(pickle.loads(sent)[3], pool[3])


def test_seeds_of_items_do_not_collide():
    assert len({item_seed(seed, index) for seed in range(20) for index in range(50)}) == 1000


def test_labels_survive_packing_and_odd_ones_are_refused():
    hand = HandLabel(
        box=np.array([1, 2, 3, 4], np.float32),
        keypoints=np.arange(42, dtype=np.float32).reshape(21, 2),
        labelled=np.ones(21, bool),
        visible=np.arange(21) % 2 == 0,
        depth=np.arange(21, dtype=np.float32),
        handedness="right",
    )
    back = unpack(pack((hand, hand), True))
    assert len(back) == 2
    np.testing.assert_array_equal(back[1].visible, hand.visible)
    assert back[1].handedness == "right"
    with pytest.raises(ValueError, match="at most"):
        pack((hand,) * (MOST_HANDS + 1), True)
    with pytest.raises(ValueError, match="fully labelled"):
        pack((HandLabel(box=hand.box),), True)
