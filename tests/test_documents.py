"""Documents say what is so."""

import re
import subprocess
from pathlib import Path

import pytest

from service.models.checkpoint import Checkpoint
from training.recipe import load_recipe

NAMES = ("recall", "precision", "ap50", "pck_0.1", "pck_0.2", "auc", "error", "handedness")


def rows(readme: str, data: str) -> dict[str, list[str]]:
    """The rows of README's table of figures on one data set: what was measured, and its cells."""
    table = re.search(rf"^\| `{re.escape(data)}`.*\n\|[-| :]+\n((?:\|.*\n)+)", readme, re.MULTILINE)
    assert table, f"README has no table of figures on {data}"
    cells = [[cell.strip() for cell in line.strip().split("|")[1:-1]] for line in table[1].splitlines()]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize("data", ["val.json", "freihand_sample.json"])
@pytest.mark.parametrize(("task", "row"), [("detector", "detector"), ("pose", "pose, true boxes")])
def test_readme_quotes_the_figures_of_the_checkpoints_that_ship(
    root: Path, data: str, task: str, row: str
) -> None:
    quoted = dict(zip(NAMES, rows((root / "README.md").read_text(), data)[row], strict=True))
    card = Checkpoint.load(root / "service" / "weights" / task).card
    measured = {metric.name: metric.value for metric in card.metrics if metric.data.endswith(data)}
    assert {name for name, cell in quoted.items() if cell} == measured.keys() & set(NAMES)
    for name, cell in quoted.items():
        if cell:
            assert float(cell) == pytest.approx(measured[name], abs=0.002), name


def test_the_recipe_of_the_training_guide_is_one(root: Path, tmp_path: Path) -> None:
    recipe = re.search(r"^```toml\n(.*?)^```", (root / "docs" / "training.md").read_text(), re.S | re.M)
    assert recipe
    (tmp_path / "mine.toml").write_text(recipe[1])
    assert load_recipe(tmp_path / "mine.toml", limit=8).name == "mine"


def test_every_command_of_the_readme_exists(root: Path) -> None:
    readme = (root / "README.md").read_text()
    makefile = (root / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\]\((?!http)([\w./-]+)\)", readme):
        assert (root / path).exists(), path


def test_an_environment_that_could_not_be_made_is_made_anew(root: Path, tmp_path: Path) -> None:
    """Debian's Python without python3-venv leaves one that has no pip."""
    (tmp_path / "Makefile").write_bytes((root / "Makefile").read_bytes())
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$2" != venv ] && exit 0\nmkdir -p .venv/bin && touch .venv/bin/python\nexit 1\n'
    )
    python.chmod(0o755)
    made = subprocess.run(
        ["make", "serve", "PYTHON=./python"], cwd=tmp_path, capture_output=True, check=False
    )
    assert made.returncode != 0
    assert not (tmp_path / ".venv" / "bin" / "python").exists()
