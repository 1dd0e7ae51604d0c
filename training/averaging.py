"""Several runs become one network: the mean of their weights.

Runs that started from the same weights, or one from what another ended with, end close enough to each other for that,
and the mean is often better than any of them: "model soups", Wortsman et al. 2022.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.models.checkpoint import Checkpoint
from service.models.networks import load_network
from training.norms import fold_norms, state_with_norms
from training.recipe import Recipe
from training.state import read

# What runs must share, or their weights do not fit: once norms are folded or restored, the same network has others. And
# their terms.
_SAME = ("task", "architecture", "input_size", "init", "fold_norms", "restore_norms", "licence")


def load_run_weights(files: Sequence[Path]) -> dict[str, Any]:
    """What the training loop wrote: {"state", "samples", "recipe"}; of several files the mean of the weights, the sum
    of the samples, and the first one's recipe, whose `init_remarks` name all runs and what they started from, and whose
    `data.sources` are those of all.

    files: `best.pt` or `final.pt` of runs that belong together; behind them also the checkpoint folder of
    these weights, which pulls the mean back to where they came from (Wortsman et al. 2022, "Robust fine-tuning"). A
    file that is given twice weighs twice.
    Raises ValueError for files that the loop did not write, for runs that do not belong together, and for the folder
    where runs have `restore_norms`: what they began with is not what is stored there.
    """
    contents = [_load(files[0])]
    first = Recipe.stored(contents[0]["recipe"])
    contents += [_start(file, first) if file.is_dir() else _load(file) for file in files[1:]]
    for file, content in zip(files[1:], contents[1:], strict=True):
        other = Recipe.stored(content["recipe"])
        for name in _SAME:
            if getattr(first, name) != getattr(other, name):
                raise ValueError(f"{files[0]} and {file} cannot be averaged: {name} differs")
    recipe = contents[0]["recipe"]
    runs = dict(zip(files, contents, strict=True))
    if len(files) > 1:
        recipe = {
            **recipe,
            "init_remarks": f"{first.init_remarks or first.init}; mean of {_told(runs, files)}",
        }
        if "sources" in recipe["data"]:
            sources = _sources(content["recipe"] for content in contents)
            recipe["data"] = {**recipe["data"], "sources": sources}
    return {
        "state": _mean([content["state"] for content in contents]),
        "samples": sum(content["samples"] for content in runs.values()),
        "recipe": recipe,
    }


def _told(runs: Mapping[Path, dict[str, Any]], files: Sequence[Path]) -> str:
    """What tells the runs apart and how often each was given, for the card."""
    each = []
    for file, content in runs.items():
        recipe = Recipe.stored(content["recipe"])
        start = f" from {recipe.init_checkpoint}" if recipe.init_checkpoint else ""
        trained = f", seed {recipe.seed}, {content['samples']:,} samples{start}"
        times = f" ({files.count(file)} times)" if files.count(file) > 1 else ""
        each.append(recipe.name + (trained if content["samples"] else ", where they started") + times)
    return f"the weights of {'; '.join(each)}"


def _sources(recipes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the data sections of all of them name, each once."""
    found: list[dict[str, Any]] = []
    for recipe in recipes:
        found += [source for source in recipe["data"]["sources"] if source not in found]
    return found


def _load(file: Path) -> dict[str, Any]:
    return read(file, "state", "samples", "recipe")


def _start(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """A checkpoint folder as if it were a run that has not begun."""
    checkpoint = Checkpoint.load(folder, recipe.task)
    card = checkpoint.card
    if card.architecture != recipe.architecture:
        raise ValueError(f"{folder} is {card.architecture}, the run trained {recipe.architecture}")
    if recipe.restore_norms and not recipe.fold_norms:  # folded again, they are what they were
        raise ValueError(
            f"{folder} and a run with restore_norms cannot be averaged: the run began with other norms"
        )
    network = load_network(checkpoint)
    if recipe.fold_norms:  # the mean is of what was trained
        fold_norms(network)
    start = recipe.changed(name=f"{card.name} {card.version}", input_size=card.input_size)
    return {"state": state_with_norms(network), "samples": 0, "recipe": start.model_dump(mode="json")}


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Counters are those of the first."""
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in first.items()
    }
