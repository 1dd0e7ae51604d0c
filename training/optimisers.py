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
        if not means[0].is_floating_point():
            torch._foreach_copy_(means, values)
            return
        keep = ((1 + count) / (10 + count)).clamp(max=decay)  # stays on the device: nothing waits for it
        # A step is nothing where a weight is not trained: it stays to the bit.
        steps = torch._foreach_sub(values, means)
        torch._foreach_mul_(steps, 1 - keep)
        torch._foreach_add_(means, steps)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
