"""Two processes on one machine, gloo between them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.reference_recipes import small_pose, write_toml
from tests.training.shared_run import train
from training import distributed

STEPS = 6
pytestmark = pytest.mark.timeout(600)  # two processes that train take turns on a single core


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = small_pose(batch=6, steps=STEPS, optimiser={"warm_up": 1, "rate": 0.05}, save_every=4)
    return write_toml(recipe, tmp_path_factory.mktemp("recipe") / "shared.toml")


@pytest.fixture(scope="module")
def alone(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(folder, recipe)
    return folder


@pytest.fixture(scope="module")
def together(root: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together") / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tests.training.shared_run", str(folder), str(recipe)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return folder


def losses(folder: Path) -> list[float]:
    return [float(line) for line in folder.with_suffix(".losses").read_text().split()]


def test_two_processes_have_the_losses_of_one_at_the_same_batch(alone: Path, together: Path) -> None:
    expected = losses(alone)
    assert len(expected) == STEPS
    assert max(expected) - min(expected) > 1e-4  # it learns, so that a wrong gradient would show
    assert losses(together) == pytest.approx(expected, rel=1e-5)


def test_two_processes_end_with_the_weights_of_one(alone: Path, together: Path) -> None:
    a, b = (torch.load(folder / "final.pt") for folder in (alone, together))
    assert a["samples"] == b["samples"] == STEPS * 6
    for name, value in a["state"].items():
        torch.testing.assert_close(b["state"][name], value, rtol=1e-3, atol=1e-5)


def test_the_first_process_alone_writes_and_keeps_the_random_states_of_both(together: Path) -> None:
    assert len(list(together.glob("events.*"))) == 1
    random = torch.load(together / "state.pt", weights_only=False)["random"]
    assert len(random) == 2
    assert not torch.equal(random[0]["cpu"], random[1]["cpu"])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("number", [0, 1])
def test_no_thread_of_the_group_outlives_it(together: Path, number: int) -> None:
    """One that does aborts the process now and then, as Python ends."""
    left = together.with_suffix(f".threads.{number}").read_text().splitlines()
    assert left
    assert not [name for name in left if "gloo" in name]


def test_alone_nothing_is_shared() -> None:
    network = nn.Linear(2, 1)
    assert distributed.replicate(network) is network
    assert (distributed.process(), distributed.processes()) == (0, 1)
    assert distributed.gather("a") == ["a"]
    assert distributed.shared_count(torch.tensor(5.0)) == 5
    assert distributed.shared_count(torch.tensor(0.0)) == 1
    assert distributed.shared_count(torch.tensor(0.25), least=0.1) == 0.25
