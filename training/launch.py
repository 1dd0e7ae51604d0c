"""From a recipe and what the command line says to a run."""

import logging
from pathlib import Path

import cv2
import torch

from service.engines.base import EngineError
from service.engines.torch import Placement, place
from service.inference.cores import available_cores
from service.models.checkpoint import Checkpoint
from training import distributed
from training.datasets.synthetic.pool import RenderingError
from training.initialise import checkpoint_at
from training.loop import Run, TrainingError
from training.recipe import Recipe
from training.tasks import create_task

log = logging.getLogger(__name__)


def launch(
    recipe: Recipe, data: Path, cache: Path, folder: Path, workers: int, device: str
) -> dict[str, float]:
    """Train in this process, or as one of those that torchrun started, going on from `folder`'s state if there is one.

    device: as `service.engines.torch.place` takes it; "auto" and "cuda" are this process's own GPU under torchrun.
    Returns the last figures. Raises TrainingError for a device that is not there or a run that cannot go on.
    """
    if distributed.local_processes() > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{distributed.local_rank()}"
    try:
        placement = place(device)
    except EngineError as error:
        raise TrainingError(str(error)) from None
    cores = available_cores() // distributed.local_processes()
    torch.set_num_threads(max(1, cores - workers))
    cv2.setNumThreads(1)
    if placement.device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # inputs come in few sizes
        torch.set_float32_matmul_precision("high")
    with distributed.group(placement.device):
        return _train(recipe, data, cache, folder, workers, placement)


def _train(
    recipe: Recipe, data: Path, cache: Path, folder: Path, workers: int, placement: Placement
) -> dict[str, float]:
    """Apart from `launch`, so that the run and all that holds the group are gone when the group ends."""
    if distributed.process() == 0:
        log.info("on %s in %s (%s)", placement, recipe.precision, placement.reason)
        if placement.device.type == "cpu" and recipe.precision == "bfloat16" and not _has_bfloat16():
            log.warning("this CPU has no instructions for bfloat16: --precision float32 is faster")
    else:
        logging.getLogger("training").setLevel(logging.WARNING)
    start = checkpoint_at(recipe.init)
    recipe = _started_from(start, recipe) if start else recipe.changed(init_checkpoint="")
    # A run that goes on needs no starting weights, which may be gone by now.
    begun = recipe.changed(init="none") if (folder / "state.pt").exists() else recipe
    run = Run(create_task(begun, data, cache), recipe, folder, workers, placement.device)
    if not run.resume() and start:
        log.info("%s %s starts from %s", recipe.name, recipe.version, recipe.init_checkpoint)
    try:
        return run.train()
    except RenderingError as error:
        raise TrainingError(str(error)) from None


def _started_from(start: Checkpoint, recipe: Recipe) -> Recipe:
    """The recipe with what its weights' card says of the start. A namesake of the start has a version of its own, and
    remarks that the start's card has already, or none, give way to what that card says.
    """
    card, fields = start.card, {"init_checkpoint": start.identity}
    if recipe.name == card.name and recipe.version.rstrip("+") == card.version.rstrip("+"):
        fields["version"] = f"{card.version}+"
    if recipe.init_remarks in card.initialised_from:
        fields["init_remarks"] = f"it started from {card.initialised_from}"
    return recipe.changed(**fields)


def _has_bfloat16() -> bool:
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there and torch.ops.mkldnn._is_mkldnn_bf16_supported())
