"""The training loop: one for every network, resumable to the same result as an uninterrupted run."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from service.models.precision import TYPES, compute_in, heavy_parts
from training import distributed, state
from training.depthwise import quicken
from training.interrupts import StopRequest
from training.loading import Batch, Key, Sample, ahead, batches
from training.norms import fold_norms, state_with_norms
from training.optimisers import averaged, create_optimiser
from training.recipe import Recipe
from training.schedule import Schedule

log = logging.getLogger(__name__)

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


class _Task(Protocol):
    """What the loop trains: the network, its loss and how it is judged."""

    # The figure of `evaluate` that says which weights are best; higher is better.
    key_metric: str

    def network(self) -> nn.Module:
        """A new network, initialised as the recipe says."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise, and its parts for the log. What it divides by, other than the number of samples, goes
        through `distributed.shared_count`.

        network: what to call, maybe wrapped; batch: on the network's device.
        """
        ...

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Figures on validation data."""
        ...


class SampledTask(_Task, Protocol):
    """A task whose samples are prepared one by one. For a recipe with epochs it has a length besides: the number of its
    training samples.
    """

    def sample(self, index: int, size: int) -> Sample:
        """Training sample number `index` at input size `size`; the same arrays whenever it is asked for."""
        ...


@runtime_checkable
class BatchedTask(_Task, Protocol):
    """A task that makes whole batches on the device that trains, which keeps a GPU busy."""

    def batches(self, device: torch.device, workers: int) -> Callable[[int, int, int], Batch]:
        """What makes the batch of (the number of its first sample, its length, its input size).

        workers: processes that may help.
        """
        ...


Task = SampledTask | BatchedTask


class TrainingError(RuntimeError):
    """A run that cannot go on; the message says why."""


class Run:
    """A training run and its folder: `state.pt` to resume from, `best.pt`, `final.pt` and TensorBoard's events.

    `best.pt` and `final.pt` hold averaged weights as {"state", "samples", "metrics", "recipe"}. Of several processes
    the first one alone judges the network and writes; all of them must see the folder.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        folder: Path,
        workers: int = 0,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - immutable
    ) -> None:
        """workers: processes that prepare samples. Raises TrainingError if a batch cannot be shared evenly."""
        self.task, self.recipe, self.folder, self.workers, self.device = task, recipe, folder, workers, device
        self.schedule = Schedule.of(recipe, len(task) if recipe.epochs is not None else 0)  # type: ignore[arg-type]
        self.first = distributed.process() == 0
        for phase in recipe.phases:
            if phase.batch % distributed.processes():
                raise TrainingError(
                    f"a batch of {phase.batch} cannot be shared by {distributed.processes()} processes"
                )
        torch.manual_seed(recipe.seed)
        network = task.network()
        if recipe.fold_norms:
            fold_norms(network)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        if device.type == "cpu":
            quicken(self.network)
        self.average = averaged(self.network, recipe.optimiser.ema)
        self.optimiser = create_optimiser(self.network, recipe.optimiser)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
        if recipe.precision != "float32":
            for part in heavy_parts(self.network):
                compute_in(part, device.type, TYPES[recipe.precision])
        self._replica = distributed.replicate(self.network.train())
        if not self.first:
            state.seed(recipe.seed)
        self.step = self.samples = 0
        self.best = -math.inf
        self._told = StopRequest()

    def resume(self) -> bool:
        """Go on from `state.pt` if there is one. Raises TrainingError if it belongs to another recipe, ValueError if it
        is damaged.
        """
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        saved = state.read(path)
        theirs = _as_of_now(saved["recipe"])
        # What the run started from, not what is there by now.
        started = {name: theirs.get(name, "") for name in ("init_checkpoint", "init_remarks", "version")}
        if started["version"].rstrip("+") != self.recipe.version.rstrip("+"):
            del started["version"]
        recipe = self.recipe.changed(**started)
        ours = recipe.model_dump(mode="json")
        different = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
        if different:
            raise TrainingError(f"{path} was made by another recipe: {', '.join(different)} differ")
        self.recipe = recipe
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.scaler.load_state_dict(saved["scaler"])
        state.restore_random_state(saved["random"], self.device)
        self.step, self.samples, self.best = saved["step"], saved["samples"], saved["best"]
        return True

    def save(self) -> None:
        """Write `state.pt`; a kill in the middle leaves the one before. All processes must call it."""
        random = state.random_states(self.device)
        if not self.first:
            return
        content = {
            "recipe": self.recipe.model_dump(mode="json"),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random,
            "step": self.step,
            "samples": self.samples,
            "best": self.best,
        }
        state.write(self.folder / "state.pt", content)

    def train(self) -> dict[str, float]:
        """Train to the end of the recipe and return the last figures (of the first process; {} of the others).

        SIGTERM and SIGINT save the state and raise TrainingError. Raises TrainingError on a loss that is not finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        figures: dict[str, float] = {}
        every = self.schedule
        keys = every.batches(self.step, self.samples, distributed.process(), distributed.processes())
        loader = self._batches(keys)
        with self._told, self._board() as board, Progress(*_COLUMNS, disable=not self.first) as bars:
            bar = bars.add_task(self.recipe.name, total=every.steps, completed=self.step)
            self.network.train()
            started, first = time.monotonic(), self.samples
            for batch in loader:
                parts, stop = self._step(batch)
                bars.update(bar, advance=1)
                last = self.step == every.steps
                if board and (last or self.step % every.log_every == 0):
                    self._log(board, parts, (self.samples - first) / (time.monotonic() - started))
                if last or self.step % every.evaluate_every == 0:
                    if board:
                        figures = self._evaluate(board)
                    distributed.wait()
                    started, first = time.monotonic(), self.samples
                if last or stop or self.step % every.save_every == 0:
                    self.save()
                if stop and not last:
                    raise TrainingError(f"stopped at step {self.step}; --resume goes on from there")
        return figures

    def _batches(self, keys: Iterable[list[Key]]) -> Iterable[Batch]:
        """One batch for each list of keys: of samples, or made as a whole on the device."""
        if isinstance(self.task, BatchedTask):
            make = self.task.batches(self.device, self.workers)
            made = (make(some[0][0], len(some), some[0][1]) for some in keys)
            return ahead(made, self.device) if self.device.type == "cuda" else made
        return batches(self.task.sample, keys, self.workers, pinned=self.device.type == "cuda")

    @contextmanager
    def _board(self) -> Iterator[SummaryWriter | None]:
        """TensorBoard's events; None in all processes but the first."""
        if not self.first:
            yield None
            return
        with SummaryWriter(str(self.folder)) as board:
            yield board

    def _step(self, batch: Batch) -> tuple[dict[str, float], bool]:
        """One step; returns the loss and its parts, of the whole batch, and whether some process was told to stop."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate(self.step)
        batch = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        size = len(next(iter(batch.values()))) * distributed.processes()
        loss, own = self.task.loss(self._replica, batch)
        # All processes see the same means, so all of them stop, or none.
        told = torch.tensor(
            [float(loss.detach()), float(self._told.made), *own.values()], dtype=torch.float64
        )
        whole, stop, *means = distributed.mean(told.to(self._meeting_place())).tolist()
        parts = dict(zip(own, means, strict=True))
        if not math.isfinite(whole):
            raise TrainingError(f"the loss is {whole} at step {self.step}: {parts}")
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(trained, self.recipe.optimiser.clip)
        self.scaler.step(self.optimiser)  # leaves the weights alone where half precision overflowed
        self.scaler.update()
        self.average.update_parameters(self.network)
        self.step += 1
        self.samples += size
        return {"loss": whole, **parts}, stop > 0

    def _meeting_place(self) -> torch.device:
        """Where processes exchange numbers: NCCL knows CUDA's memory alone."""
        return (
            self.device if self.device.type == "cuda" and distributed.processes() > 1 else torch.device("cpu")
        )

    def _log(self, board: SummaryWriter, parts: dict[str, float], rate: float) -> None:
        for name, value in parts.items():
            board.add_scalar(f"train/{name}", value, self.step)
        board.add_scalar("train/learning_rate", self.schedule.learning_rate(self.step - 1), self.step)
        board.add_scalar("train/samples_per_second", rate, self.step)
        text = " ".join(f"{name} {value:.4f}" for name, value in parts.items())
        log.info("step %d/%d %s, %.1f samples/s", self.step, self.schedule.steps, text, rate)

    def _evaluate(self, board: SummaryWriter) -> dict[str, float]:
        network = self.average.module.eval()
        figures = self.task.evaluate(network)
        for name, value in figures.items():
            board.add_scalar(f"validation/{name}", value, self.step)
        log.info("step %d validation %s", self.step, " ".join(f"{n} {v:.4f}" for n, v in figures.items()))
        content = {
            "state": state_with_norms(network),
            "samples": self.samples,
            "metrics": figures,
            "recipe": self.recipe.model_dump(mode="json"),
        }
        if figures[self.task.key_metric] > self.best:
            self.best = figures[self.task.key_metric]
            state.write(self.folder / "best.pt", content)
        if self.step == self.schedule.steps:
            state.write(self.folder / "final.pt", content)
        return figures


def _as_of_now(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it was stored, with the fields of today; as it is, if it is none any more."""
    try:
        return Recipe.stored(recipe).model_dump(mode="json")
    except ValidationError:
        return recipe
