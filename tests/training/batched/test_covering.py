import torch

from training.batched.covering import elsewhere, occlude

SIZE = 96
EVERYWHERE = torch.ones(1, SIZE, SIZE, dtype=torch.bool)


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
    changed = elsewhere(pictures(0.2), EVERYWHERE.expand(6, -1, -1), pictures(0.9), keypoints, generator)
    for picture, points in zip(changed, keypoints, strict=True):
        columns, rows = (points * SIZE).long().unbind(1)
        on_hand = picture[:, rows, columns]
        assert on_hand.max() < 0.45  # the hand, in another light
        assert torch.allclose(
            on_hand, on_hand[:, :1].expand_as(on_hand), atol=0.15
        )  # the same light everywhere
        corners = picture[0, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners > 0.85).sum() >= 3  # the other place; the arm may reach a corner


def test_hands_elsewhere_differ_in_light_and_in_how_hard_their_edges_are() -> None:
    keypoints = torch.tensor([[0.4, 0.7], [0.6, 0.3]]).repeat(1, 11, 1)[:, :21].expand(40, 21, 2)
    everywhere = EVERYWHERE.expand(40, -1, -1)
    generator = torch.Generator().manual_seed(2)
    changed = elsewhere(pictures(0.3, 40), everywhere, pictures(0.9, 40), keypoints, generator)
    light = changed[:, :, int(0.7 * SIZE), int(0.4 * SIZE)]
    assert light.std(0).min() > 0.03
    assert (light.amax(1) - light.amin(1)).mean() > 0.01  # colours, too
    between = ((changed[:, 0] - light[:, :1, None]).abs() > 0.05) & ((changed[:, 0] - 0.9).abs() > 0.05)
    counts = between.flatten(1).sum(1)
    assert counts.max() > 2 * counts.min()


def test_a_hand_elsewhere_ends_where_its_photo_ends() -> None:
    keypoints = torch.tensor([[0.4, 0.7], [0.6, 0.3]]).repeat(6, 11, 1)[:, :21]
    inside = EVERYWHERE.expand(6, -1, -1).clone()
    inside[:, : SIZE // 2] = False
    changed = elsewhere(pictures(0.2), inside, pictures(0.9), keypoints, torch.Generator().manual_seed(3))
    assert (changed[:, :, : SIZE // 2] == pictures(0.9)[:, :, : SIZE // 2]).all()
    assert changed[:, :, int(0.7 * SIZE), int(0.4 * SIZE)].max() < 0.45
