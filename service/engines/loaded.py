"""What really runs: told by `GET /v1/models` and the start message."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One network as it was loaded, not as it was asked for."""

    task: Literal["detector", "pose"]
    name: str
    version: str
    architecture: str
    licence: str
    sha256: str  # of the file the engine reads
    input_size: int
    engine: str  # "onnxruntime 1.20.0"
    device: str  # "cpu"
    precision: str  # "float32"
    reason: str = ""  # why this engine and this device: "device=auto: PyTorch finds neither CUDA nor MPS"
