"""What a training run, or a checkpoint folder, has to show: network, recipe, card, and its curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from service.inference.pipeline import WEIGHTS
from service.models import architectures
from service.models.checkpoint import CARD, Card, Checkpoint
from service.models.networks import NETWORKS, load_network
from training.state import read

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps (N,), rising, and values (N,)."""
_FILES = ("best.pt", "final.pt")


class RunError(ValueError):
    """A folder that has nothing to report; the message names it and says what is missing."""


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A network and where it comes from.

    network: in evaluation mode, on the CPU. source: the file or folder the weights are from. recipe: as it was stored.
    metrics: the figures stored with the weights. curves: TensorBoard's scalars by their tags; {} for a checkpoint
    folder. card: of the checkpoint that was exported from this run, if there is one.
    """

    name: str
    version: str
    task: Literal["detector", "pose"]
    architecture: str
    input_size: int
    samples: int
    network: nn.Module
    source: Path
    recipe: Mapping[str, Any]
    metrics: Mapping[str, float]
    curves: Mapping[str, Curve]
    card: Card | None


def load_run(folder: Path) -> TrainedRun:
    """Read a run's folder (its best weights, else its final ones), or a checkpoint folder.

    Raises RunError where there are no weights, ValueError for those that are none of the training loop's,
    CheckpointError for a damaged checkpoint folder.
    """
    if (folder / CARD).is_file():
        return _from_checkpoint(Checkpoint.load(folder))
    source = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if source is None:
        raise RunError(
            f"{folder} has neither {' nor '.join(_FILES)} nor {CARD}: there is nothing to report yet"
        )
    content = read(source, "state", "samples", "metrics", "recipe")
    recipe = content["recipe"]
    architecture = recipe.get("architecture", architectures.EFFICIENTNET_LITE0_FPN)
    network = build_network(recipe["task"], architecture, recipe["input_size"])
    try:
        network.load_state_dict(content["state"])
    except RuntimeError as error:
        raise RunError(f"{source} has not the weights of {architecture}: {error}") from None
    return TrainedRun(
        name=recipe["name"],
        version=recipe["version"],
        task=recipe["task"],
        architecture=architecture,
        input_size=recipe["input_size"],
        samples=content["samples"],
        network=network.eval(),
        source=source,
        recipe=recipe,
        metrics=content["metrics"],
        curves=read_curves(folder),
        card=_card_of(folder, recipe),
    )


def build_network(task: str, architecture: str, input_size: int) -> nn.Module:
    """A network without its weights. Raises RunError for one that is not known."""
    build = NETWORKS.get((task, architecture))
    if build is None:
        raise RunError(f"there is no {task} network {architecture}")
    return build(architecture, input_size)


def read_curves(folder: Path) -> dict[str, Curve]:
    """TensorBoard's scalars by their tags. A step written twice, as after a resumed run, counts as written last."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        values = {event.step: event.value for event in sorted(events.Scalars(tag), key=lambda e: e.wall_time)}
        steps = sorted(values)
        curves[tag] = (np.array(steps, np.float64), np.array([values[s] for s in steps], np.float64))
    return curves


def _from_checkpoint(checkpoint: Checkpoint) -> TrainedRun:
    card = checkpoint.card
    return TrainedRun(
        name=card.name,
        version=card.version,
        task=card.task,
        architecture=card.architecture,
        input_size=card.input_size,
        samples=card.trained_samples,
        network=load_network(checkpoint),
        source=checkpoint.folder,
        recipe=card.recipe,
        metrics={},
        curves={},
        card=card,
    )


def _card_of(folder: Path, recipe: Mapping[str, Any]) -> Card | None:
    """The card of the checkpoint exported from a run: beside its weights, or the one that ships if the names agree."""
    for place in (folder / "checkpoint", WEIGHTS / recipe["task"]):
        if (place / CARD).is_file():
            card = Checkpoint.load(place).card
            if (card.name, card.version) == (recipe["name"], recipe["version"]):
                return card
    return None
