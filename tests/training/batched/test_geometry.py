import numpy as np
import pytest
import torch

from service.inference.geometry import CROP_FACTOR
from tests.training.batched.dots import MARKED, dotted
from training.batched import geometry
from training.batched.geometry import CROP_FACTORS, LOST, draw_crops
from training.batched.windows import Windows

SIZE = 128


def many(windows: Windows, count: int) -> Windows:
    return windows[torch.zeros(count, dtype=torch.long)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def turn(points: torch.Tensor) -> torch.Tensor:
    """Which way the triangle of wrist, index and little finger turns."""
    a, b = points[:, 5] - points[:, 0], points[:, 17] - points[:, 0]
    return torch.sign(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


@pytest.mark.parametrize("depth", [False, True])
def test_keypoints_move_with_the_pixels(depth: bool) -> None:
    """Stretched, bent, turned and mirrored: where a keypoint is said to be, its dot is."""
    crops = draw_crops(many(dotted(depth), 80), SIZE, 25.0, generator())
    brightness = crops.pictures.mean(1)
    places = crops.keypoints[:, list(MARKED)] * SIZE
    judged = 0
    for picture, points in zip(brightness, places, strict=True):
        for x, y in points.tolist():
            if 8 < x < SIZE - 8 and 8 < y < SIZE - 8:
                near = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
                if near.min() == 0:  # where the picture ends
                    continue
                assert near.mean() > 0.6
                judged += 1
    assert judged > 200


def test_mirroring_swaps_the_handedness_and_keeps_the_order() -> None:
    windows = many(dotted(depth=True), 60)
    crops = draw_crops(windows, SIZE, 20.0, generator())
    mirrored = turn(crops.keypoints) != turn(windows.keypoints)
    assert mirrored.any()
    assert not mirrored.all()
    assert torch.equal(crops.right == 0, mirrored)


def test_unknown_handedness_stays_unknown() -> None:
    windows = many(dotted(), 20)
    windows.right.fill_(-1)
    assert (draw_crops(windows, SIZE, 20.0, generator()).right == -1).all()


def test_depth_is_a_share_of_the_crop_in_every_direction() -> None:
    windows = many(dotted(depth=True), 40)
    crops = draw_crops(windows, SIZE, 40.0, generator())
    apart = (crops.keypoints[:, 20] - crops.keypoints[:, 0]).norm(dim=1)
    before = (windows.keypoints[:, 20] - windows.keypoints[:, 0]).norm(dim=1) / windows.box[:, 2:].amax(1)
    ratio = crops.depth[:, 20] / apart
    torch.testing.assert_close(ratio, windows.depth[:, 20] / before, rtol=1e-3, atol=0)


def test_crops_vary_around_the_factor_of_serving() -> None:
    windows = many(dotted(depth=True), 300)
    crops = draw_crops(windows, SIZE, 0.0, generator())
    spans = (crops.keypoints[:, 20] - crops.keypoints[:, 0]).norm(dim=1)
    whole = (windows.keypoints[0, 20] - windows.keypoints[0, 0]).norm() / windows.box[0, 2:].max()
    factors = np.sort((whole / spans).numpy())
    low, high = CROP_FACTORS
    assert low < CROP_FACTOR < high
    assert factors[0] == pytest.approx(low, abs=0.02)
    assert factors[-1] == pytest.approx(high, abs=0.02)
    assert np.median(factors) == pytest.approx((low + high) / 2, abs=0.06)


def test_it_is_known_where_there_is_a_picture() -> None:
    """Black outside of it, or its border repeated: grey here, as the whole picture is."""
    windows = many(dotted(), 60)
    windows.images.fill_(128)
    windows.seen[:] = torch.tensor([0.0, 0.0, 0.5, 1.0])
    crops = draw_crops(windows, SIZE, 20.0, generator())
    shown = crops.pictures[:, 0] > 0
    assert shown[crops.inside].all()
    repeated = (shown & ~crops.inside).flatten(1).any(1)
    assert repeated.any()
    assert not repeated.all()
    assert (~crops.inside).flatten(1).any(1).all()  # half of the hand's box is not seen


def test_an_edge_cuts_off_what_it_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of the places evenly in a hand's box that are lost, with no hand cut off and with all of them."""
    windows = many(dotted(depth=True), 200)
    low, reach = windows.box[:, None, :2], windows.box[:, None, 2:]
    windows.keypoints[:] = low + reach * torch.rand(200, 21, 2, generator=generator(1))
    monkeypatch.setattr(geometry, "REPLICATED", 0.0)
    lost = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(geometry, "CUT_OFF", share)
        crops = draw_crops(windows, SIZE, 20.0, generator())
        x, y = (crops.keypoints * SIZE).long().unbind(2)
        within = ((x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)).nonzero()
        kept = crops.inside[within[:, 0], y[tuple(within.T)], x[tuple(within.T)]].sum()
        lost.append(1 - float(kept) / x.numel())
    assert lost[0] < 0.03  # beside the crop
    assert lost[1] == pytest.approx(sum(LOST) / 2, abs=0.05)


def test_the_same_generator_gives_the_same_crops() -> None:
    one, other = (draw_crops(many(dotted(), 8), SIZE, 20.0, generator(3)) for _ in range(2))
    assert torch.equal(one.pictures, other.pictures)
    assert torch.equal(one.keypoints, other.keypoints)
