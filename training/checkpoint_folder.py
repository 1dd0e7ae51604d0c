"""What every export does: weights and card into a folder that takes the old one's place when it is complete."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from service.models.checkpoint import WEIGHTS
from service.models.keypoints import KEYPOINT_NAMES
from training.recipe import Recipe


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder to write into; it takes the place of `folder` when the block ends without an error.

    A kill in the middle of that leaves the old one beside it, as `.<name>.replaced`.
    """
    old = folder.with_name(f".{folder.name}.replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        staged = Path(scratch) / folder.name
        staged.mkdir()
        yield staged
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        staged.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def to_half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store tensors of two and more dimensions as float16; the others (norms, biases) as they are."""
    return {k: (v.half() if v.ndim > 1 else v).contiguous() for k, v in state.items()}


def write_weights(state: dict[str, Tensor], folder: Path) -> None:
    """Write the weights' file, readable by everyone."""
    save_file(state, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)


def card_of(
    recipe: Recipe, samples: int, figures: Mapping[str, Mapping[str, float]], command: str
) -> dict[str, Any]:
    """The fields of a card that follow from the recipe.

    figures: by the data they were measured on, and by their names. command: what measures them.
    """
    return {
        "name": recipe.name,
        "version": recipe.version,
        "licence": recipe.licence,
        "task": recipe.task,
        "architecture": recipe.architecture,
        "input_size": recipe.input_size,
        "keypoints": KEYPOINT_NAMES if recipe.task == "pose" else (),
        "initialised_from": "; ".join(filter(None, (recipe.init_checkpoint, recipe.init_remarks)))
        or recipe.init,
        "recipe": recipe.model_dump(mode="json", exclude={"data": {"sources"}}),
        "trained_samples": samples,
        "metrics": [
            {"name": name, "value": round(value, 4), "data": where, "command": command}
            for where, values in figures.items()
            for name, value in values.items()
        ],
    }
