"""Which engine runs a pair of checkpoints, and on what. Imports an engine only when it is the one.

What was asked for runs or the start fails: nothing falls back to another engine, device or precision.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from service.engines.base import DetectorEngine, EngineError, PoseEngine
from service.engines.cpu import int8_instructions
from service.engines.loaded import LoadedModel, OnnxPrecision, ServedPrecision
from service.inference.calibration import Calibration, CalibrationCurve, PairCalibration
from service.models.checkpoint import CARD, Checkpoint, CheckpointError

if TYPE_CHECKING:
    from service.engines.torch import TorchDetector, TorchPose

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
log = logging.getLogger("service")

_EXTRA = {"torch", "torchvision", "safetensors"}  # modules that come with it


EngineName = Literal["auto", "onnx", "torch"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """What to run on. `device` is "auto", "cpu", "cuda", "cuda:N" or "mps". Raises ValueError for another one, and
    for an engine or a precision that there is not.

    With engine "auto" ONNX Runtime serves, unless only torch can do what is asked for: another device than the CPU,
    half precision, a checkpoint without a graph. A GPU is therefore used when it is asked for, by device "cuda",
    "cuda:N" or "mps", or by engine "torch" with device "auto". With precision "auto" ONNX Runtime computes in int8
    what has such a graph, where the CPU has instructions for it, and everything else is in float32.
    """

    engine: EngineName = "auto"
    device: str = "auto"
    precision: ServedPrecision = "auto"

    def __post_init__(self) -> None:
        try:
            check_device(self.device)
        except ValueError as error:
            raise ValueError(f"{error}, not {self.device!r}") from None
        for name, value, known in (
            ("engine", self.engine, get_args(EngineName)),
            ("precision", self.precision, get_args(ServedPrecision)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A detector and a pose model that run on the same engine, what they are, and how their scores are calibrated."""

    detector: DetectorEngine
    pose: PoseEngine
    models: tuple[LoadedModel, LoadedModel]
    calibration: PairCalibration


def check_device(device: str) -> str:
    """The device's name itself. Raises ValueError for one that no machine has."""
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise ValueError("a device is auto, cpu, cuda, cuda:N or mps")
    return device


def load_pair(detector: Path, pose: Path, runtime: Runtime | None = None) -> Pair:
    """Load two checkpoint folders into the engine that the runtime asks for.

    Raises CheckpointError for a folder that is not what its card says or that the engine cannot serve, EngineError for
    a device that is not there, a library that is not installed or a graph that does not run.
    """
    runtime = runtime or Runtime()
    checkpoints = Checkpoint.load(Path(detector), "detector"), Checkpoint.load(Path(pose), "pose")
    engine, reason = choose_engine(runtime, checkpoints)
    if engine == "torch":
        first, second = _load_torch(checkpoints, runtime, reason)
        return Pair(first, second, (first.model, second.model), _calibration(*checkpoints))
    from service.engines.onnx import OnnxDetector, OnnxPose

    chosen = [_onnx_precision(runtime.precision, checkpoint) for checkpoint in checkpoints]
    (precision, why), (pose_precision, pose_why) = chosen
    onnx = (
        OnnxDetector(checkpoints[0], f"{reason}; {why}", precision),
        OnnxPose(checkpoints[1], f"{reason}; {pose_why}", pose_precision),
    )
    return Pair(*onnx, (onnx[0].model, onnx[1].model), _calibration(*checkpoints))


def _calibration(detector: Checkpoint, pose: Checkpoint) -> PairCalibration:
    """The pair's own; none, with a warning, for hands of two that were not calibrated together, and for keypoints of a
    pose model that was not calibrated at all.
    """
    hand, keypoints = Calibration(), CalibrationCurve()
    if (fitted := pose.card.score_calibration) is not None and fitted.detector == detector.identity:
        hand = Calibration(fitted.slope, fitted.offset)
    else:
        fitted_with = "" if fitted is None else f", but with {fitted.detector}"
        log.warning(
            "scores of hands are not probabilities: %s was not calibrated with %s%s",
            pose.identity,
            detector.identity,
            fitted_with,
        )
    if (curve := pose.card.keypoint_calibration) is None:
        log.warning("scores of keypoints are not probabilities: %s was not calibrated", pose.identity)
    else:
        try:
            keypoints = CalibrationCurve(curve.scores, curve.probabilities)
        except ValueError as error:
            raise CheckpointError(f"{pose.folder / CARD}: keypoint_calibration: {error}") from error
    return PairCalibration(hand, keypoints)


def choose_engine(
    runtime: Runtime, checkpoints: Sequence[Checkpoint]
) -> tuple[Literal["onnx", "torch"], str]:
    """The engine, and why it is the one. Raises EngineError where engine, device and precision do not go together."""
    only_torch = _why_only_torch(runtime)
    if runtime.engine != "onnx" and not only_torch:
        without = [checkpoint for checkpoint in checkpoints if not checkpoint.has_graph]
        only_torch = f"{without[0].card.name} has no ONNX graph" if without else ""
    if runtime.precision == "int8" and (only_torch or runtime.engine == "torch"):
        why = only_torch or "engine=torch was asked for"
        raise EngineError(f"precision=int8 is for ONNX Runtime on the CPU: {why}")
    if runtime.engine == "onnx":
        if only_torch:
            raise EngineError(f"engine=onnx cannot serve this: {only_torch}; use engine=torch")
        return "onnx", "engine=onnx was asked for"
    if runtime.engine == "torch":
        return "torch", "engine=torch was asked for"
    if only_torch:
        return "torch", f"engine=auto: {only_torch}"
    return (
        "onnx",
        "engine=auto: ONNX Runtime serves on the CPU unless device=cuda, device=mps or engine=torch is set",
    )


def _why_only_torch(runtime: Runtime) -> str:
    """Empty when nothing about the runtime needs torch."""
    if runtime.device not in ("auto", "cpu"):
        return f"ONNX Runtime runs on the CPU here, not on device={runtime.device}"
    if runtime.precision in ("float16", "bfloat16"):
        return f"ONNX graphs are in float32 and int8, not in precision={runtime.precision}"
    return ""


def _onnx_precision(asked: ServedPrecision, checkpoint: Checkpoint) -> tuple[OnnxPrecision, str]:
    """What ONNX Runtime computes a checkpoint in, and why."""
    if asked == "int8":
        return "int8", "precision=int8 was asked for"
    if asked == "float32":
        return "float32", "precision=float32 was asked for"
    if not checkpoint.has_int8_graph:
        return "float32", f"precision=auto: {checkpoint.card.name} has no int8 graph"
    instructions = int8_instructions()
    if not instructions:
        return "float32", "precision=auto: the CPU is not known to have instructions for int8"
    return "int8", f"precision=auto: the CPU has {instructions}"


def _load_torch(
    checkpoints: tuple[Checkpoint, Checkpoint], runtime: Runtime, reason: str
) -> tuple["TorchDetector", "TorchPose"]:
    try:
        from service.engines.torch import TorchDetector, TorchPose, place

        assert runtime.precision != "int8"  # `choose_engine` refuses it
        placement = place(runtime.device, "float32" if runtime.precision == "auto" else runtime.precision)
        placement = replace(placement, reason=f"{reason}; {placement.reason}")
        return TorchDetector(checkpoints[0], placement), TorchPose(checkpoints[1], placement)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise EngineError(f"{reason}, but {error.name} is not installed: pip install '.[gpu]'") from None
