"""Batch norms as part of the convolutions before them, for networks whose statistics have settled; and back again.

A step of the default pose network takes three quarters of the time then (`python -m training train` writes the samples
a second). Serving folds them too, when the graph is exported; what is stored has them.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class _Folded(nn.Identity):
    """In the place of a batch norm that its convolution has taken over."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.channels, self.eps = norm.num_features, norm.eps


def fold_norms(network: nn.Module) -> int:
    """Let every convolution that a batch norm follows in an `nn.Sequential` do the norm's work, with its running
    statistics; in place. The network computes in training mode then what it computed in evaluation mode before.

    Returns the number of norms.
    """
    count = 0
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for i in range(len(module) - 1):
            convolution, norm = module[i], module[i + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(convolution, norm)
                module[i + 1] = _Folded(norm)
                count += 1
    return count


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    trained = convolution.weight.requires_grad
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    convolution.weight = nn.Parameter(weight.detach(), requires_grad=trained)
    convolution.bias = nn.Parameter(bias.detach(), requires_grad=trained)


@torch.no_grad()
def restore_norms(network: nn.Module, *inputs: Tensor) -> int:
    """Give every batch norm the statistics of what it really sees for these inputs, and such a scale and bias that the
    network goes on computing what it computes in evaluation mode; in place. Norms that were folded once have none.

    inputs: a batch as the network's `forward` takes it. Returns the number of norms.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_adopt_statistics) for norm in norms]
    training = network.training
    network.eval()(*inputs)
    network.train(training)
    for hook in hooks:
        hook.remove()
    return len(norms)


def _adopt_statistics(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    seen = inputs[0].float()
    mean, variance = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
    slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    norm.bias.add_((mean - norm.running_mean) * slope)
    norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def state_with_norms(network: nn.Module) -> dict[str, Tensor]:
    """The network's state as if `fold_norms` had never been called: the norms that come back add the biases and do
    nothing else.
    """
    state: dict[str, Tensor] = dict(network.state_dict())
    for path, module in network.named_modules():
        if not isinstance(module, nn.Sequential):
            continue
        for i, folded in enumerate(module):
            if isinstance(folded, _Folded):
                norm = f"{path}.{i}"
                state[f"{norm}.bias"] = state.pop(f"{path}.{i - 1}.bias")
                state[f"{norm}.weight"] = torch.ones(folded.channels)
                state[f"{norm}.running_mean"] = torch.zeros(folded.channels)
                state[f"{norm}.running_var"] = torch.full((folded.channels,), 1 - folded.eps)
                state[f"{norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return state
