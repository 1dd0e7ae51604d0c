"""A run of a small U-Net that several processes can share; a script, so that torchrun can start it.

Arguments: folder, recipe file. Writes the losses of the first process to <folder>.losses, and the names of the threads
that each process has left afterwards to <folder>.threads.<its number>.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from service.models.unet import HandUNet
from training import distributed
from training.loading import Batch, Sample
from training.loop import Run
from training.recipe import Recipe, load_recipe
from training.reference_pose import ReferencePoseTask


class StillUNet(HandUNet):
    """Its batch norms do not look at the batch: without that, each process would see statistics of its own."""

    def train(self, mode: bool = True) -> "StillUNet":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class Shared(ReferencePoseTask):
    """The reference loss on noise, each sample with another number of labelled keypoints."""

    def __init__(self, recipe: Recipe, log: Path) -> None:
        self.recipe, self.log = recipe, log

    def network(self) -> HandUNet:
        return StillUNet((4, 4, 4, 4))

    def sample(self, index: int, size: int) -> Sample:
        rng = np.random.default_rng(index)
        return {
            "crop": rng.integers(0, 255, (size, size, 3), np.uint8),
            "keypoints": rng.uniform(0, size, (21, 2)).astype(np.float32),
            "labelled": (np.arange(21) < index % 22).astype(np.float32),
        }

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        loss, parts = super().loss(network, batch)
        whole = float(distributed.mean(loss.detach()))
        if distributed.process() == 0:
            with self.log.open("a") as file:
                file.write(f"{whole:.9f}\n")
        return loss, parts

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        assert distributed.process() == 0
        return {"pck_0.1": 0.0}


def train(folder: Path, file: Path) -> None:
    """Train by the recipe in `file`, alone or as one of torchrun's processes."""
    recipe = load_recipe(file)
    with distributed.group(torch.device("cpu")):
        Run(Shared(recipe, folder.with_suffix(".losses")), recipe, folder).train()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    train(folder, Path(sys.argv[2]))
    left = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
    folder.with_suffix(f".threads.{distributed.local_rank()}").write_text("\n".join(left))
