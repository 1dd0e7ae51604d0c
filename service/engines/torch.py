"""PyTorch: the engine of the reference pair, and of the default pair on a GPU.

On a CPU every inference has one thread, as in ONNX Runtime: requests run beside one another, not their operators.
PyTorch knows that setting for the whole process alone, so loading an engine onto the CPU sets it; who wants another
number calls `torch.set_num_threads` afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.engines.base import Detections, EngineError, Poses, check_batch, largest_size
from service.engines.batching import JointBatches
from service.engines.loaded import LoadedModel
from service.models.checkpoint import WEIGHTS, Checkpoint
from service.models.networks import load_network
from service.models.precision import TYPES, compute_in, heavy_parts

Precision = Literal["float32", "float16", "bfloat16"]
_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)  # what autocast computes in half precision


@dataclass(frozen=True, slots=True)
class Placement:
    """Where networks run, in which precision, and why there."""

    device: torch.device
    precision: Precision
    reason: str

    def __str__(self) -> str:
        """The device in words: "cpu", "cuda:0 (NVIDIA L4)"."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return str(self.device)


def place(device: str = "auto", precision: Precision = "float32") -> Placement:
    """Choose where to run: on the device asked for or not at all; for "auto" CUDA before MPS before the CPU.

    device: "auto", "cpu", "cuda", "cuda:N" or "mps". Raises EngineError when the device asked for is not there.
    """
    no_cuda = _why_no_cuda()
    no_mps = "" if torch.backends.mps.is_available() else "PyTorch finds no Metal device"
    if device == "auto":
        if not no_cuda:
            return Placement(torch.device("cuda", 0), precision, "device=auto: there is CUDA")
        if not no_mps:
            return Placement(torch.device("mps"), precision, f"device=auto: there is MPS; {no_cuda}")
        return Placement(torch.device("cpu"), precision, f"device=auto: {no_cuda}; {no_mps}")
    if device == "cpu":
        return Placement(torch.device("cpu"), precision, "device=cpu was asked for")
    if device == "mps":
        if no_mps:
            raise EngineError(f"device=mps: {no_mps}")
        return Placement(torch.device("mps"), precision, "device=mps was asked for")
    if no_cuda:
        raise EngineError(f"device={device}: {no_cuda}")
    index, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if index >= count:
        raise EngineError(f"device={device}: there is no such device, the last is cuda:{count - 1}")
    return Placement(torch.device("cuda", index), precision, f"device={device} was asked for")


def _why_no_cuda() -> str:
    """Empty when CUDA can be used."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this PyTorch was built without CUDA"
    return "PyTorch finds no CUDA device"


class _Network:
    """A checkpoint's network on its device, behind one function from a batch to its decoded outputs."""

    def __init__(
        self, checkpoint: Checkpoint, task: Literal["detector", "pose"], method: str, placement: Placement
    ) -> None:
        """method: of the network, from a batch to a tuple of tensors. Raises CheckpointError."""
        if placement.device.type == "cpu":
            torch.set_num_threads(1)
        network = load_network(checkpoint)
        network.requires_grad_(False)
        network.to(placement.device).to(memory_format=torch.channels_last)
        if placement.precision != "float32":
            for part in heavy_parts(network):
                _lower(part, placement.device.type, TYPES[placement.precision])
        self._device = placement.device
        self._compute: Callable[[Tensor], tuple[Tensor, ...]] = getattr(network, method)
        # A CPU gains nothing by larger batches.
        self.run = self._run if placement.device.type == "cpu" else JointBatches(self._run)
        card = checkpoint.card
        self.input_size = card.input_size
        self.model = LoadedModel(
            task=task,
            name=card.name,
            version=card.version,
            architecture=card.architecture,
            licence=card.licence,
            sha256=card.sha256[WEIGHTS],
            input_size=card.input_size,
            engine=f"torch {torch.__version__}",
            device=str(placement),
            precision=placement.precision,
            reason=placement.reason,
        )

    @torch.inference_mode()
    def _run(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """batch: (B, H, W, 3) uint8 RGB. Safe to call from several threads at once."""
        pixels = torch.from_numpy(np.require(batch, requirements=["C_CONTIGUOUS", "WRITEABLE"]))
        if self._device.type == "cuda":
            pixels = pixels.pin_memory()
        outputs = self._compute(pixels.to(self._device, non_blocking=True))
        return [output.cpu().numpy() for output in outputs]  # waits for the device


def _lower(part: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Make a module compute in half precision and return float32, so that what comes after it decodes in float32.

    The weights that autocast would convert at every call are converted for good.
    """
    for module in part.modules():
        if isinstance(module, _WEIGHTED):
            module.to(dtype)
    compute_in(part, device, dtype)


class TorchDetector:
    """Detector engine: `images` (B, H, W, 3) uint8 to `boxes` and `scores`, by the network's `detect`.

    Raises CheckpointError for an architecture that is not known, or weights of another.
    """

    def __init__(self, checkpoint: Checkpoint, placement: Placement) -> None:
        self._network = _Network(checkpoint, "detector", "detect", placement)
        self.input_size = self._network.input_size
        # Reference networks resize pictures themselves.
        self.flexible = checkpoint.has_graph
        self.model = self._network.model

    def __call__(self, images: NDArray[np.uint8]) -> Detections:
        """images: (B, H, W, 3) uint8 RGB, H and W multiples of 32 and at most `closest_size`, that of
        reference networks at most `input_size`; else ValueError.
        """
        check_batch(images, largest_size(self.input_size, self.flexible), flexible=True)
        boxes, scores = self._network.run(images)
        return Detections(boxes, scores)


class TorchPose:
    """Pose engine: `crops` (B, S, S, 3) uint8 to keypoints, their scores, hand or not, right or left, and depth where
    the network knows it, by the network's `estimate`.

    Raises CheckpointError for an architecture that is not known, or weights of another.
    """

    def __init__(self, checkpoint: Checkpoint, placement: Placement) -> None:
        self._network = _Network(checkpoint, "pose", "estimate", placement)
        self.input_size = self._network.input_size
        self.model = self._network.model

    def __call__(self, crops: NDArray[np.uint8]) -> Poses:
        """crops: (B, S, S, 3) uint8 RGB, else ValueError."""
        check_batch(crops, self.input_size, flexible=False)
        return Poses(*self._network.run(crops))
