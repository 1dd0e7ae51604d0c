"""The recipes of the reference pair, small enough for a core: the same files with some fields replaced."""

from pathlib import Path
from typing import Any

from training.recipe import Recipe, load_recipe

RECIPES = Path(__file__).resolve().parent.parent.parent / "training" / "recipes"


def small_pose(name: str = "reference-pose-green", size: int = 64, batch: int = 8, **fields: Any) -> Recipe:
    """The U-Net on smaller crops, in float32."""
    return _small(name, size, batch, fields)


def small_detector(size: int = 320, batch: int = 4, **fields: Any) -> Recipe:
    """Faster R-CNN with the MobileNet backbone on smaller frames, in float32, from random weights. Its head learns from
    fewer boxes, as that is where the time goes.
    """
    fields = {
        "architecture": "fasterrcnn-mobilenet-v3-large-320-fpn",
        "init": "none",
        "frozen": 0,
        "freeze_norms": False,
        "loss": {"boxes": 64},
        **fields,
    }
    return _small("reference-detector", size, batch, fields)


def _small(name: str, size: int, batch: int, fields: dict[str, Any]) -> Recipe:
    """fields: those of `optimiser`, `data` and `loss` replace single fields of the section."""
    recipe = load_recipe(RECIPES / f"{name}.toml")
    for section in ("optimiser", "data", "loss"):
        fields[section] = {**getattr(recipe, section).model_dump(), **fields.get(section, {})}
    if "steps" in fields:  # saved and judged at the end alone, unless told otherwise
        fields = {"save_every": fields["steps"], "evaluate_every": fields["steps"], **fields, "epochs": None}
    phases = [{"until": 1.0, "size": size, "batch": batch}]
    return recipe.changed(precision="float32", input_size=size, phases=phases, **fields)


def write_toml(recipe: Recipe, path: Path) -> Path:
    """Write a recipe as a file that `load_recipe` reads. Returns its path."""
    path.write_text("\n".join(_lines(recipe.model_dump(mode="json", exclude_none=True))) + "\n")
    return path


def _lines(fields: dict[str, Any]) -> list[str]:
    tables = {key: value for key, value in fields.items() if isinstance(value, dict)}
    lines = [f"{key} = {_value(value)}" for key, value in fields.items() if key not in tables]
    for key, table in tables.items():
        lines += [f"[{key}]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(item)}" for name, item in value.items()) + " }"
    return repr(value)
