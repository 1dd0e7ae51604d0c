"""What concurrent requests ask of a device that computes many pictures at once, as one batch: for GPUs.

Nothing waits for a batch to fill. A request that finds the device idle has it at once; those that come meanwhile wait,
and go together when it is idle again.
"""

import math
import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Inputs = NDArray[np.uint8]
Outputs = Sequence[NDArray[np.float32]]

_MOST_PIXELS = 2**21  # of a joint batch: 32 pictures of 256 × 256


class _Request:
    """One caller's batch, and what becomes of it."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.outputs: Outputs | None = None
        self.alone = False  # together with others it failed
        self.ready = threading.Event()  # there are outputs, or it is the caller's turn to compute


class JointBatches:
    """Calling it computes a batch, together with those of other threads. Safe to call from several threads at once."""

    def __init__(self, compute: Callable[[Inputs], Outputs]) -> None:
        """compute: from a batch (B, H, W, 3) to arrays whose first axis is B as well; never called twice at once."""
        self._compute = compute
        self._lock = threading.Lock()
        self._waiting: list[_Request] = []
        self._busy = False

    def __call__(self, inputs: Inputs) -> Outputs:
        """inputs: (B, H, W, 3) uint8. Raises what `compute` raises for this batch alone."""
        request = _Request(inputs)
        with self._lock:
            self._waiting.append(request)
            if not self._busy:
                self._busy = True
                request.ready.set()
        request.ready.wait()
        if request.outputs is not None:
            return request.outputs
        with self._lock:
            together = self._take(request)
        try:
            return self._compute_all(together)
        finally:
            self._hand_over()

    def _take(self, first: _Request) -> list[_Request]:
        """A request, and those that fit to it; they do not wait any longer."""
        taken, pixels = [first], _pixels(first)
        for other in self._waiting:
            fits = (
                other.inputs.shape[1:] == first.inputs.shape[1:] and pixels + _pixels(other) <= _MOST_PIXELS
            )
            if fits and other is not first and not (first.alone or other.alone):
                taken.append(other)
                pixels += _pixels(other)
        self._waiting = [request for request in self._waiting if request not in taken]
        return taken

    def _compute_all(self, together: list[_Request]) -> Outputs:
        """The first one's outputs; the others are given theirs. If it fails, each of them is to compute for itself."""
        first, *others = together
        if not others:
            return self._compute(first.inputs)
        try:
            outputs = self._compute(np.concatenate([request.inputs for request in together]))
        except Exception:  # noqa: BLE001 - each will meet its own, computed alone
            with self._lock:
                self._waiting = others + self._waiting
            for request in others:
                request.alone = True
            return self._compute(first.inputs)
        ends = np.cumsum([len(request.inputs) for request in together])
        parts = zip(*(np.split(output, ends[:-1]) for output in outputs), strict=True)
        for request, part in zip(together, parts, strict=True):
            request.outputs = part
        for request in others:
            request.ready.set()
        assert first.outputs is not None
        return first.outputs

    def _hand_over(self) -> None:
        """To the one that has waited longest."""
        with self._lock:
            self._busy = bool(self._waiting)
            if self._busy:
                self._waiting[0].ready.set()


def _pixels(request: _Request) -> int:
    return math.prod(request.inputs.shape[:3])
