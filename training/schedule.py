"""The course of a run: how many steps, which samples at each, at which learning rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from training.recipe import OptimiserSection, Phase, Recipe


@dataclass(frozen=True)
class Schedule:
    """A run in steps. `save_every` and `evaluate_every` are in steps too."""

    phases: tuple[Phase, ...]
    optimiser: OptimiserSection
    steps: int
    save_every: int
    evaluate_every: int

    @classmethod
    def of(cls, recipe: Recipe, samples: int = 0) -> "Schedule":
        """samples: how many training samples there are; only a recipe of epochs asks."""
        if recipe.steps is not None:
            return cls(
                recipe.phases, recipe.optimiser, recipe.steps, recipe.save_every, recipe.evaluate_every
            )
        assert recipe.epochs is not None
        starts = (0.0, *(phase.until for phase in recipe.phases))
        batch = sum((p.until - start) * p.batch for p, start in zip(recipe.phases, starts, strict=False))
        epoch = samples / batch  # steps, on average over the phases

        def steps(epochs: int) -> int:
            return max(1, math.ceil(epochs * epoch - 1e-6))

        return cls(
            recipe.phases,
            recipe.optimiser,
            steps(recipe.epochs),
            steps(recipe.save_every),
            steps(recipe.evaluate_every),
        )

    @property
    def log_every(self) -> int:
        """Steps between two losses that are written: 50, fewer where the run is short."""
        return max(1, min(50, self.steps // 40))

    def phase_at(self, step: int) -> Phase:
        """The phase that step (counted from 0) belongs to."""
        return next(phase for phase in self.phases if step < phase.until * self.steps or phase.until == 1.0)

    def batches(
        self, step: int, seen: int, process: int = 0, processes: int = 1
    ) -> Iterator[list[tuple[int, int]]]:
        """The samples of every batch from `step` on, as (number of the sample, input size).

        seen: samples drawn before. Of several processes each gets every `processes`-th sample of a batch.
        """
        for current in range(step, self.steps):
            phase = self.phase_at(current)
            yield [(seen + i, phase.size) for i in range(process, phase.batch, processes)]
            seen += phase.batch

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine down to `final` of the peak."""
        o = self.optimiser
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return o.rate * min(1.0, (step + 1) / o.warm_up) * (o.final + (1 - o.final) * cosine)
