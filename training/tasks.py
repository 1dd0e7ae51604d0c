"""The task a recipe names."""

from collections.abc import Callable
from pathlib import Path

from service.models import architectures
from training.detector import DetectorTask
from training.loop import Task
from training.pose import PoseTask
from training.recipe import Recipe
from training.reference_detector import ReferenceDetectorTask
from training.reference_pose import ReferencePoseTask

_TASKS: dict[tuple[str, str], Callable[[Recipe, Path, Path], Task]] = {
    ("detector", architectures.EFFICIENTNET_LITE0_FPN): DetectorTask,
    ("pose", architectures.EFFICIENTNET_LITE0_FPN): PoseTask,
    ("pose", architectures.EFFICIENTNET_LITE1_FPN): PoseTask,
    ("detector", architectures.FASTER_RCNN_RESNET50): ReferenceDetectorTask,
    ("detector", architectures.FASTER_RCNN_MOBILENET): ReferenceDetectorTask,
    ("pose", architectures.UNET): ReferencePoseTask,
}


def create_task(recipe: Recipe, data: Path, cache: Path) -> Task:
    """data: the folder the recipe's paths are relative to. cache: where rendered pictures are kept."""
    return _TASKS[recipe.task, recipe.architecture](recipe, data, cache)
