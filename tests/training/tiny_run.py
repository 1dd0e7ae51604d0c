"""A training run of a few seconds on a toy problem; run as a script so that a test can kill it.

Arguments: folder, recipe file, and optionally a step at which the process kills itself without any warning.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.loop import Batch, Run, Sample
from training.recipe import load_recipe


class Line:
    """Fit y = 2 x - 1 from noisy samples, through a batch norm so that buffers matter too."""

    key_metric = "closeness"

    def __init__(self, kill_at: int | None, log: Path) -> None:
        self.kill_at, self.log, self.calls = kill_at, log, 0

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    def sample(self, index: int, size: int) -> Sample:
        rng = np.random.default_rng([5, index])
        x = rng.normal(size=4).astype(np.float32)
        return {"x": x, "y": np.array(2 * x.sum() - 1 + rng.normal(0, 0.01), np.float32)}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        noise = torch.randn(()) * 0.01  # the state of torch's generator must survive too
        loss = ((network(batch["x"])[:, 0] - batch["y"] + noise) ** 2).mean()
        with self.log.open("a") as file:
            file.write(f"{loss.item():.9f}\n")
        self.calls += 1
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss, {}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        with torch.inference_mode():
            return {"closeness": -float(abs(network(torch.ones(2, 4))[0, 0] - 7))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, recipe = Path(sys.argv[1]), load_recipe(Path(sys.argv[2]))
    kill_at = int(sys.argv[3]) if len(sys.argv) > 3 else None
    run = Run(Line(kill_at, folder.with_suffix(".losses")), recipe, folder)
    print("resumed" if run.resume() else "started", "at", run.step)
    print(run.train())
