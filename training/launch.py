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
    recipe = recipe.changed(init_checkpoint=start.identity if start else "")
    # A run that goes on needs no starting weights, which may be gone by now.
    begun = recipe.changed(init="none") if (folder / "state.pt").exists() else recipe
    run = Run(create_task(begun, data, cache), recipe, folder, workers, placement.device)
    if not run.resume() and start and distributed.process() == 0:
        _warn_of_the_same_name(recipe, start)
    return run.train()


def _warn_of_the_same_name(recipe: Recipe, start: Checkpoint) -> None:
    if (recipe.name, recipe.version) == (start.card.name, start.card.version):
        log.warning(
            "this run starts from %s and has its name and version: --set version='\"...\"' tells the two apart",
            recipe.init_checkpoint,
        )


def _has_bfloat16() -> bool:
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there and torch.ops.mkldnn._is_mkldnn_bf16_supported())
