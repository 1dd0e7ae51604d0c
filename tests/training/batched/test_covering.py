import torch

from training.batched.covering import elsewhere, occlude

SIZE = 96


def pictures(value: float, count: int = 6) -> torch.Tensor:
    return torch.full((count, 3, SIZE, SIZE), value)


def test_something_in_front_hides_a_part() -> None:
    changed = occlude(pictures(0.2, 40), pictures(0.9, 40), torch.Generator().manual_seed(0))
    hidden = (changed > 0.5).float().mean((1, 2, 3))
    assert ((hidden > 0.003) & (hidden < 0.6)).float().mean() > 0.9
    assert changed.min() >= 0.2 - 1e-6
    assert changed.max() <= 0.9 + 1e-6


def test_a_hand_elsewhere_keeps_what_lies_around_its_bones() -> None:
    generator = torch.Generator().manual_seed(1)
    keypoints = 0.35 + 0.3 * torch.rand(6, 21, 2, generator=generator)
    changed = elsewhere(pictures(0.2), pictures(0.9), keypoints)
    for picture, points in zip(changed, keypoints, strict=True):
        columns, rows = (points * SIZE).long().unbind(1)
        assert picture[0, rows, columns].max() < 0.25  # the hand
        corners = picture[0, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners > 0.85).sum() >= 3  # the other place; the arm may reach a corner
