"""Half precision on a CPU, where it is slow but the same code runs as on a GPU."""

from pathlib import Path

import pytest
import torch

from tests.training.reference_recipes import small_pose
from tests.training.shared_run import Shared
from training.loop import Run
from training.recipe import Precision

STEPS = 4


def run_of(folder: Path, precision: Precision, steps: int = STEPS) -> Run:
    fields = {"batch": 4, "steps": steps, "optimiser": {"warm_up": 1, "rate": 0.02}, "save_every": 2}
    recipe = small_pose(**fields).changed(precision=precision)
    return Run(Shared(recipe, folder.with_suffix(".losses")), recipe, folder)


def set_scale(run: Run, scale: float) -> None:
    run.scaler.load_state_dict({**run.scaler.state_dict(), "scale": scale})


def losses(folder: Path) -> list[float]:
    return [float(line) for line in folder.with_suffix(".losses").read_text().split()]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("float32") / "run"
    run_of(folder, "float32").train()
    return losses(folder)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_computes_nearly_the_same(
    tmp_path: Path, single: list[float], precision: Precision
) -> None:
    run = run_of(tmp_path / "run", precision)
    seen = []
    run.network.last.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    run.train()
    assert set(seen) == {getattr(torch, precision)}
    assert {p.dtype for p in run.network.parameters()} == {torch.float32}
    assert losses(tmp_path / "run") == pytest.approx(single, rel=0.02)
    assert losses(tmp_path / "run") != single
    crops = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    assert run.network(crops).dtype == torch.float32  # what the loss sees
    assert "forward" not in vars(run.average.module)  # what is judged computes in float32


def test_float16_goes_on_with_the_scale_it_had(tmp_path: Path) -> None:
    whole = run_of(tmp_path / "whole", "float16")
    set_scale(whole, 512.0)
    whole.train()
    first = run_of(tmp_path / "halves", "float16")
    set_scale(first, 512.0)
    told = iter((False, True))
    first._step, step = lambda batch: (step(batch)[0], next(told)), first._step  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="stopped at step 2; --resume"):
        first.train()
    second = run_of(tmp_path / "halves", "float16")
    assert second.resume()
    assert second.scaler.get_scale() == 512
    second.train()
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")


def test_a_step_whose_gradients_overflow_leaves_the_weights_alone(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "float16", steps=1)
    set_scale(run, 2.0**100)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    run.train()
    assert all(torch.equal(before[name], value) for name, value in run.network.named_parameters())
    assert run.scaler.get_scale() < 2.0**100
