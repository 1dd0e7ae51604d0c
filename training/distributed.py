"""Several processes that train one network, as `torchrun` starts them; every function also works in one alone.

Each process computes its share of a batch, and gradients are averaged (PyTorch's DistributedDataParallel). A loss that
divides by a count of its own, such as that of labelled keypoints, must divide by `shared_count` of it, or else the mean
of the processes' losses is not the loss of the whole batch.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# The others wait so long while the first process judges the network.
_PATIENCE = timedelta(hours=2)


def local_rank() -> int:
    """The number of this process among those on this machine, from torchrun's environment."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_processes() -> int:
    """How many processes torchrun started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, for the length of the block; nothing without torchrun.

    On CUDA they speak NCCL, on a CPU gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # DistributedDataParallel imports it. An import while there is a group keeps the group for ever, and with it gloo's
    # threads: one that still holds a tensor when Python ends aborts the process (pytorch/pytorch, pull request 179291).
    import_module("torch._dynamo")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()
        gc.collect()  # what is left of a replica, which holds the group too


def processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process() -> int:
    """The number of this one. Number 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def replicate(network: nn.Module) -> nn.Module:
    """`network` as each process trains it: gradients are averaged over all.

    On CUDA batch norms that are trained see the whole batch (SyncBatchNorm, which PyTorch has for CUDA alone);
    elsewhere each process normalises by its own samples, and the first one's running statistics are kept.
    """
    if processes() == 1:
        return network
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    on_cuda = all(parameter.is_cuda for parameter in network.parameters())
    if on_cuda and any(norm.training for norm in norms):
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(network)


def shared_count(count: Tensor, least: float = 1.0) -> Tensor:
    """What a loss divides its sum by: the mean of `count` over the processes; their sum counts as `least` at least."""
    if processes() == 1:
        return count.clamp(min=least)
    total = count.detach().clone()
    dist.all_reduce(total)
    return total.clamp(min=least) / processes()


def mean(values: Tensor) -> Tensor:
    """The mean over the processes of a detached tensor."""
    if processes() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / processes()


def gather(value: Any) -> list[Any]:
    """The values of all processes, in their order, in every process."""
    if processes() == 1:
        return [value]
    values = [None] * processes()
    dist.all_gather_object(values, value)
    return values


def wait() -> None:
    """Go on when all processes are here."""
    if processes() > 1:
        dist.barrier()
