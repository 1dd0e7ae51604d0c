"""How long a training step of each default network takes on one core of a CPU, per picture: as it comes with torch, and
with the depthwise convolutions of `training/depthwise.py`, in float32 and in bfloat16. Interleaved; medians.

Network, frozen parts, folded norms and the size of the pictures are those of `training/recipes/default-*.toml`; a step
has fewer pictures than there.

    .venv/bin/python benchmarks/training_step.py
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from service.models.networks import NETWORKS
from training.depthwise import quicken
from training.norms import fold_norms
from training.recipe import Recipe, load_recipe

ROUNDS = 7
RECIPES = Path(__file__).resolve().parents[1] / "training" / "recipes"
COUNTS = {"pose": 32, "detector": 16}  # pictures of a step


def variants(recipe: Recipe) -> dict[str, Callable[[Tensor], None]]:
    """What is compared: by its name, one training step on a batch."""
    steps = {}
    for quick in (False, True):
        for dtype in (torch.float32, torch.bfloat16):
            name = f"{'quick' if quick else 'torch'}, {str(dtype).removeprefix('torch.')}"
            steps[name] = _step(network_of(recipe, quick), dtype)
    return steps


def network_of(recipe: Recipe, quick: bool) -> nn.Module:
    """The network as a run of this recipe trains it, from nothing. quick: with depthwise convolutions of our own."""
    torch.manual_seed(0)
    network = NETWORKS[recipe.task, recipe.architecture](recipe.architecture, recipe.input_size)
    network.encoder.freeze(recipe.frozen)
    if recipe.fold_norms:
        fold_norms(network)
    if quick:
        quicken(network)
    return network.train().to(memory_format=torch.channels_last)


def _step(network: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], None]:
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-6)

    def step(batch: Tensor) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            outputs = network(batch)
        loss = torch.stack([output.float().square().mean() for output in outputs]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def main() -> None:
    torch.set_num_threads(1)
    table = Table("network", "variant", "ms a picture", "of torch, float32")
    for kind, count in COUNTS.items():
        recipe = load_recipe(RECIPES / f"default-{kind}.toml")
        side = recipe.phases[-1].size
        batch = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8)
        steps = variants(recipe)
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(ROUNDS):
            for name, step in steps.items():
                started = time.perf_counter()
                step(batch)
                times[name].append((time.perf_counter() - started) / count * 1e3)
        medians = {
            name: statistics.median(values[1:]) for name, values in times.items()
        }  # the first warms up
        first = next(iter(medians.values()))
        for name, value in medians.items():
            table.add_row(kind, name, f"{value:.1f}", f"{value / first:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
