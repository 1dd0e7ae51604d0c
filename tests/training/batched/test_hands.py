import multiprocessing
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.batched.dots import dotted
from training.batched import hands
from training.batched.hands import Kind, draw_batch, rendered_windows
from training.batched.windows import Windows, without_hand
from training.datasets.synthetic import Backgrounds, RenderedPool
from training.datasets.synthetic.pool import fill_in_background

CPU = torch.device("cpu")
SHARES = {"photo": 0.5, "rendered": 0.3, "empty": 0.2}


@pytest.fixture
def kinds() -> dict[str, Kind]:
    empty = without_hand(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    return {"photo": Kind(dotted()), "rendered": Kind(dotted(depth=True)), "empty": Kind(empty)}


def test_a_batch_has_every_kind_and_repeats(kinds: dict[str, Kind]) -> None:
    batch, again = (draw_batch(kinds, SHARES, (1, 640), 64, 64) for _ in range(2))
    assert batch["crop"].shape == (64, 64, 64, 3)
    assert batch["crop"].dtype == torch.uint8
    assert batch["keypoints"].shape == (64, 21, 2)
    for key, value in batch.items():
        assert torch.equal(value.nan_to_num(), again[key].nan_to_num())
    other = draw_batch(kinds, SHARES, (1, 704), 64, 64)
    assert not torch.equal(batch["crop"], other["crop"])
    deep, hands = batch["depth"].isfinite().all(1), batch["hand"] > 0
    assert 20 < hands.sum() < 64
    assert 5 < deep.sum() < hands.sum()
    assert (batch["right"][~hands] == -1).all()
    assert batch["labelled"][~hands].sum() == 0


def test_weights_say_how_often(kinds: dict[str, Kind]) -> None:
    windows = Windows.joined([dotted(), dotted()])
    windows.right[1] = -1
    kind = Kind(windows, torch.tensor([0.9, 0.1]))
    drawn = kind.draw(400, torch.Generator().manual_seed(0))
    assert 15 < (drawn.right == -1).sum() < 70


def test_what_a_photo_lacks_of_a_hand_is_not_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every keypoint lies outside of its photo, which is grey: no grey and no black there, but the other place."""
    monkeypatch.setattr(hands, "_ELSEWHERE", 1.0)
    monkeypatch.setattr(hands, "OCCLUDED", 0.0)
    monkeypatch.setattr(hands, "photometric", lambda pictures, _: pictures)
    windows = dotted()
    windows.images.fill_(128)
    windows.seen[:] = torch.tensor([0.0, 0.0, 1.0, 0.3])
    empty = without_hand(np.full((96, 96, 3), 255, np.uint8))
    batch = draw_batch({"photo": Kind(windows), "empty": Kind(empty)}, {"photo": 1.0}, (1, 0), 64, 64)
    places = (batch["keypoints"] * 64).long()
    within = ((places >= 16) & (places < 48)).all(2)  # there the other crops have no black corners
    sample = torch.arange(64)[:, None].expand(-1, 21)
    assert within.sum() > 200
    assert (
        batch["crop"][sample, places[..., 1].clamp(0, 63), places[..., 0].clamp(0, 63)][within] == 255
    ).all()


def pool_at(path: Path) -> RenderedPool:
    return RenderedPool(path, "crop", 6, 48, 3, Backgrounds([]))


def test_a_pool_that_is_being_filled_is_waited_for_and_followed(tmp_path: Path) -> None:
    pool = pool_at(tmp_path / "pool")
    filled = threading.Timer(0.3, lambda: [pool[i] for i in range(3)])
    filled.start()
    windows = rendered_windows(pool, [], 2, CPU, threads=1)
    assert 2 <= len(windows) <= 3
    filled.join()
    for i in range(6):
        pool[i]
    deadline = threading.Event()
    for _ in range(200):
        if len(windows) == 6:
            break
        deadline.wait(0.05)
    assert len(windows) == 6
    shown = windows[torch.arange(6)].images.numpy()
    wanted = {pool[i].image.tobytes() for i in range(6)}
    assert {picture.tobytes() for picture in shown} == wanted


def test_a_full_pool_is_taken_in_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands, "_AT_ONCE", 4)
    pool = pool_at(tmp_path / "pool")
    pictures = np.stack([pool[i].image for i in range(6)])
    windows = rendered_windows(pool, [], 2, CPU, threads=1)
    assert len(windows) == 6
    assert np.array_equal(windows[torch.arange(6)].images.numpy(), pictures)


def test_processes_fill_a_pool_beside_this_one(tmp_path: Path) -> None:
    pool = pool_at(tmp_path / "pool")
    pool[0]
    crew = fill_in_background(pool, processes=2)
    assert len(crew) == 2
    for worker in crew:
        worker.join(60)
        assert worker.exitcode == 0
    assert pool.filled().all()
    assert fill_in_background(pool, processes=2) == []


def test_a_crew_that_ends_early_is_an_error_rather_than_a_wait_for_ever(tmp_path: Path) -> None:
    pool = pool_at(tmp_path / "pool")
    gone = multiprocessing.get_context("spawn").Process(target=print)
    gone.start()
    gone.join(60)
    with pytest.raises(RuntimeError, match="ended early"):
        rendered_windows(pool, [gone], 2, CPU, threads=1)


def test_a_crew_that_ends_in_the_middle_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = pool_at(tmp_path / "pool")
    for i in range(4):
        pool[i]
    gone = multiprocessing.get_context("spawn").Process(target=print)
    gone.start()
    gone.join(60)
    windows = rendered_windows(pool, [gone], 2, CPU, threads=1)
    for _ in range(200):
        if caplog.records:
            break
        time.sleep(0.05)
    assert "ended early: 4 of 6 pictures" in caplog.text
    assert len(windows) == 4
