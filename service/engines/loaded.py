"""What really runs: told by `GET /v1/models` and the start message."""

from dataclasses import dataclass
from typing import Literal

# What may be asked for; "auto" is int8 or float32.
ServedPrecision = Literal["auto", "float32", "int8", "float16", "bfloat16"]
OnnxPrecision = Literal["float32", "int8"]


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
    precision: str  # "float32"; in "int8" its convolutions
    # Why this engine, this device and this precision: "device=auto: PyTorch finds neither CUDA nor MPS".
    reason: str = ""

    @property
    def runs_on(self) -> str:
        """In a few words, for the log: "onnxruntime 1.20.0, cpu, int8"."""
        return f"{self.engine}, {self.device}, {self.precision}"
