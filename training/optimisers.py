"""What a step changes: the weights, and their moving average."""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from training.recipe import OptimiserSection


def create_optimiser(network: nn.Module, section: OptimiserSection) -> torch.optim.Optimizer:
    """AdamW or SGD over the parameters that are trained; norms and biases are not decayed."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if section.kind == "sgd":
        return torch.optim.SGD(groups, lr=section.rate, momentum=section.momentum, foreach=True)
    return torch.optim.AdamW(groups, lr=section.rate, foreach=True)


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights and statistics that starts fast: decay min(ema, (1 + n) / (10 + n))."""

    def average(means: Any, values: Any, count: Any) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, values, 1 - keep)
        else:
            torch._foreach_copy_(means, values)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
