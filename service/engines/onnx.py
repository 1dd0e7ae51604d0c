"""ONNX Runtime on the CPU: the default engine.

One thread an inference, and threads that sleep instead of spinning while they wait: requests run beside one
another, not their operators. With spinning on, two requests at once each took twice as long
(docs/decisions).
"""

from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.engines.base import Detections, EngineError, Poses, check_batch, largest_size
from service.engines.cpu import int8_instructions
from service.engines.loaded import LoadedModel, OnnxPrecision
from service.models.checkpoint import Checkpoint
from service.models.keypoints import KEYPOINT_NAMES

_N = len(KEYPOINT_NAMES)
# Outputs by name, with the sizes that are fixed; None is the batch or the number of candidates.
_DETECTOR_OUTPUTS: dict[str, tuple[int | None, ...]] = {"boxes": (None, None, 4), "scores": (None, None)}
_POSE_OUTPUTS: dict[str, tuple[int | None, ...]] = {
    "keypoints": (None, _N, 2),
    "scores": (None, _N),
    "hand": (None,),
    "right": (None,),
}
_DEPTH: dict[str, tuple[int | None, ...]] = {"depth": (None, _N)}  # of a pose graph that has it


class _Graph:
    """An inference session whose inputs and outputs were checked against the contract."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        task: Literal["detector", "pose"],
        input_name: str,
        outputs: dict[str, tuple[int | None, ...]],
        flexible: bool,
        reason: str,
        precision: OnnxPrecision,
        optional: dict[str, tuple[int | None, ...]] | None = None,
    ) -> None:
        """optional: outputs that are read if the graph has them. flexible: the sides of the input may vary in
        multiples of `STRIDE` up to `closest_size`. Raises EngineError, and CheckpointError for a checkpoint without a
        graph in that precision.
        """
        self._flexible = flexible
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if precision == "int8" and not int8_instructions():
            # Otherwise x86 CPUs overflow where they multiply unsigned by signed 8-bit integers. Slow with VNNI.
            options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 3  # errors
        path = checkpoint.int8_graph if precision == "int8" else checkpoint.graph
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a dozen unrelated classes, most of them private
            raise EngineError(f"{path}: onnxruntime cannot load it: {error}") from error
        self._input_name = input_name
        there = {node.name for node in self._session.get_outputs()}
        extra = {name: shape for name, shape in (optional or {}).items() if name in there}
        self._outputs = outputs | extra
        self.input_size = checkpoint.card.input_size
        self._check(str(path))
        card = checkpoint.card
        self.model = LoadedModel(
            task=task,
            name=card.name,
            version=card.version,
            architecture=card.architecture,
            licence=card.licence,
            sha256=card.sha256[path.name],
            input_size=card.input_size,
            engine=f"onnxruntime {onnxruntime.__version__}",
            device=_device(self._session.get_providers()[0]),
            precision=precision,
            reason=reason,
        )

    def _check(self, path: str) -> None:
        size = self.input_size
        inputs = {node.name: node for node in self._session.get_inputs()}
        if list(inputs) != [self._input_name]:
            raise EngineError(f"{path}: its inputs are {sorted(inputs)}, expected {self._input_name}")
        node = inputs[self._input_name]
        sides = list(node.shape[1:3])
        right = not any(isinstance(side, int) for side in sides) if self._flexible else sides == [size, size]
        if node.type != "tensor(uint8)" or list(node.shape[3:]) != [3] or not right:
            wanted = "H, W" if self._flexible else f"{size}, {size}"
            raise EngineError(
                f"{path}: {node.name} is {node.type} {node.shape}, expected tensor(uint8) [B, {wanted}, 3]"
            )
        found = {node.name: tuple(node.shape) for node in self._session.get_outputs()}
        for name, expected in self._outputs.items():
            if name not in found:
                raise EngineError(f"{path}: it has no output {name}; it has {sorted(found)}")
            if not _matches(found[name], expected):
                raise EngineError(f"{path}: output {name} has shape {found[name]}, expected {expected}")

    def run(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """batch: (B, H, W, 3) uint8 RGB, with the sides that the engine's protocol says. Safe to call from several
        threads at once.

        Raises ValueError for a batch of another shape or type.
        """
        check_batch(batch, largest_size(self.input_size, self._flexible), self._flexible)
        names = list(self._outputs)
        values = self._session.run(names, {self._input_name: np.ascontiguousarray(batch)})
        return {name: np.asarray(value, np.float32) for name, value in zip(names, values, strict=True)}


def _matches(shape: tuple[object, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a graph's shape agrees where it is fixed; exporters leave other dimensions as names."""
    return len(shape) == len(expected) and all(
        want is None or not isinstance(got, int) or got == want
        for got, want in zip(shape, expected, strict=True)
    )


def _device(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider").lower()


class OnnxDetector:
    """Detector engine: `images` (B, H, W, 3) uint8 to `boxes` and `scores`; the graph normalises and decodes.

    Raises EngineError when the graph cannot be loaded or its inputs and outputs are others, CheckpointError when the
    checkpoint has none in that precision.
    """

    def __init__(
        self, checkpoint: Checkpoint, reason: str = "", precision: OnnxPrecision = "float32"
    ) -> None:
        """reason: why this engine and precision were chosen, for `GET /v1/models`. precision: of the convolutions."""
        self._graph = _Graph(
            checkpoint,
            "detector",
            "images",
            _DETECTOR_OUTPUTS,
            flexible=True,
            reason=reason,
            precision=precision,
        )
        self.input_size = self._graph.input_size
        self.flexible = True
        self.model = self._graph.model

    def __call__(self, images: NDArray[np.uint8]) -> Detections:
        """images: (B, H, W, 3) uint8 RGB, H and W multiples of 32 and at most `closest_size`."""
        found = self._graph.run(images)
        return Detections(found["boxes"], found["scores"])


class OnnxPose:
    """Pose engine: `crops` (B, S, S, 3) uint8 to keypoints, their scores, hand or not, right or left, and depth where
    the graph has it.

    Raises EngineError when the graph cannot be loaded or its inputs and outputs are others, CheckpointError when the
    checkpoint has none in that precision.
    """

    def __init__(
        self, checkpoint: Checkpoint, reason: str = "", precision: OnnxPrecision = "float32"
    ) -> None:
        """reason: why this engine and precision were chosen, for `GET /v1/models`. precision: of the convolutions."""
        self._graph = _Graph(
            checkpoint,
            "pose",
            "crops",
            _POSE_OUTPUTS,
            flexible=False,
            reason=reason,
            precision=precision,
            optional=_DEPTH,
        )
        self.input_size = self._graph.input_size
        self.model = self._graph.model

    def __call__(self, crops: NDArray[np.uint8]) -> Poses:
        """crops: (B, S, S, 3) uint8 RGB."""
        found = self._graph.run(crops)
        return Poses(found["keypoints"], found["scores"], found["hand"], found["right"], found.get("depth"))
