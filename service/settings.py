"""Every setting of the service: environment variable, command line flag and default in one place."""

import difflib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict

from service import safety
from service.api.addresses import parse_proxies
from service.api.keys import Scope, parse_scopes
from service.api.origins import parse_origins
from service.engines.factory import check_device
from service.engines.loaded import ServedPrecision
from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE

PREFIX = "HANDPOSE_"


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what would do."""


class Settings(BaseSettings):
    """Find hands in pictures, over HTTP. Each option can also be set in the environment: --queue-size is
    HANDPOSE_QUEUE_SIZE there. The command line takes precedence.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        cli_prog_name="python -m service",
        cli_kebab_case=True,
        cli_implicit_flags=True,
    )

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; 0.0.0.0 for all IPv4 addresses, :: for all IPv6 and IPv4 addresses.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    detector: Path = Field(default=DEFAULT_DETECTOR, description="Folder of the detector's checkpoint.")
    pose: Path = Field(default=DEFAULT_POSE, description="Folder of the pose model's checkpoint.")
    engine: Literal["auto", "onnx", "torch"] = Field(
        default="auto",
        description="Runtime of the networks. auto: ONNX Runtime on the CPU; PyTorch for another device, "
        "half precision, or a checkpoint without an ONNX graph.",
    )
    device: str = Field(
        default="auto",
        description="cpu, cuda, cuda:N or mps; the service does not start if it is not available. auto: with "
        "PyTorch the first available of cuda, mps, cpu; with ONNX Runtime the CPU.",
    )
    precision: ServedPrecision = Field(
        default="auto",
        description="Precision of the networks; keypoints and boxes are always decoded in float32. auto: int8 "
        "with ONNX Runtime on x86 CPUs that have VNNI instructions, for checkpoints that have such a graph; float32 "
        "elsewhere. Answers differ a little, so set it where machines of several kinds must agree. PyTorch also has "
        "float16, which moves keypoints by 0.01 px on average, and bfloat16, 0.1 px.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Threads for decoding and inference; 0: one for each core available to this process.",
    )
    queue_size: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="Pictures that may wait for a thread in a burst; further ones get 503.",
    )
    standing_queue: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="How many of those may wait under a sustained load; 0: one for each thread. More only "
        "make everyone wait longer.",
    )
    max_bytes: int = Field(
        default=32 * 2**20,
        ge=1024,
        le=2**30,
        description="Largest request body in bytes; larger ones get 413.",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=500_000_000,
        description="Most pixels in a picture; more get 413, checked in the file's header before decoding.",
    )
    max_hands: int = Field(
        default=16,
        ge=1,
        le=16,
        description="Most hands that a request may ask for; more get 422.",
    )
    max_batch_images: int = Field(
        default=16, ge=1, le=1000, description="Most pictures in a batch; more get 413."
    )
    max_batch_bytes: int = Field(
        default=64 * 2**20,
        ge=1024,
        le=2**30,
        description="Largest body of a batch in bytes; max_bytes applies to each of its pictures.",
    )
    upload_memory: int = Field(
        default=256 * 2**20,
        ge=1024,
        le=2**36,
        description="Bytes of request bodies held at once, for all clients together; requests beyond that "
        "get 503.",
    )
    receive_seconds: float = Field(
        default=60,
        gt=0,
        le=3600,
        description="Time to receive the head of a request, and again for its body; slower ones get 408.",
    )
    decode_side: int = Field(
        default=1280,
        ge=0,
        le=65535,
        description="Large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size as long as the longer side "
        "keeps this many pixels; 0 decodes every picture at full size.",
    )
    detection_threshold: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Detections with a lower score are ignored, or looked at again at another size.",
    )
    presence_threshold: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="A crop is dropped if the pose model's score for a hand in it is below this; in a stream "
        "also if it is below 0.5.",
    )
    max_streams: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="Streams that may be open at once; further ones are closed with 1013.",
    )
    stream_max_bytes: int = Field(
        default=8 * 2**20,
        ge=1024,
        le=2**30,
        description="Largest frame of a stream in bytes; a larger one ends the stream.",
    )
    stream_idle_seconds: float = Field(
        default=60,
        gt=0,
        le=86_400,
        description="A stream ends when its client has sent nothing, or read nothing, for this long.",
    )
    detect_every: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="Streams look for further hands on one of this many frames, more often just after a loss; "
        "in between they track the hands they have.",
    )
    allowed_origins: str = Field(
        default="",
        description="Other origins whose web pages may use the service: "
        "https://example.org,http://localhost:3000; * for all.",
    )
    keys: SecretStr = Field(
        default=SecretStr(""),
        description="API keys as name:scope+scope:sha256, separated by commas; python -m service create-key "
        "makes them. Without any here or in keys_file, no key is needed.",
    )
    keys_file: Path | None = Field(
        default=None,
        description="File with further API keys, one per line; closed to other users.",
    )
    keyless_scopes: str = Field(
        default="",
        description="Scopes that need no key even if there are keys: inference,metrics.",
    )
    rate_limit: float = Field(
        default=0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="Pictures per second for each key, or each address without a key; more get 429. A stream "
        "counts once, not its frames. 0: no limit.",
    )
    rate_burst: int = Field(
        default=0,
        ge=0,
        le=10**6,
        description="Pictures that may arrive at once under rate_limit; 0: two seconds' worth, at least a "
        "full batch.",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        le=10**6,
        description="Connections that may be open at once, including idle ones; further ones get 503.",
    )
    max_connections_per_address: int = Field(
        default=0,
        ge=0,
        le=10**6,
        description="The same for one address, trusted proxies aside; further ones get 429. 0: no limit.",
    )
    max_streams_per_client: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Streams that each key, or each address without a key, may have open at once. 0: no "
        "limit.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are "
        "trusted: 10.0.0.2,172.16.0.0/12.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Lowest level to log.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="text for people, json for machines.",
    )
    access_log: bool = Field(default=False, description="Log a line for every request and stream.")
    tracing: bool = Field(
        default=False,
        description="Send OpenTelemetry traces (extra otel); OTEL_EXPORTER_OTLP_ENDPOINT and similar "
        "variables say where to.",
    )
    drain_seconds: float = Field(
        default=0,
        ge=0,
        le=600,
        description="On SIGTERM or SIGINT, return 503 at /readyz and keep serving for this long, until load "
        "balancers have noticed.",
    )
    grace_seconds: int = Field(
        default=10,
        ge=1,
        le=600,
        description="After that, accept nothing new and give running requests this long to finish.",
    )
    stuck_seconds: float = Field(
        default=60,
        gt=0,
        le=86_400,
        description="/healthz returns 503 when a picture, or the event loop, has been busy for this long.",
    )
    exit_when_stuck: bool = Field(
        default=False,
        description="Exit in that case, for a supervisor to restart the service (Docker does, with a restart "
        "policy).",
    )

    @field_validator("device")
    @classmethod
    def _device(cls, text: str) -> str:
        return check_device(text)

    @field_validator("detector", "pose")
    @classmethod
    def _folder(cls, path: Path) -> Path:
        if not os.path.isdir(path):  # Path.is_dir raises where a folder above is closed to us
            raise ValueError("must be an existing folder")
        return path

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        parse_origins(text)
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, text: str) -> str:
        parse_proxies(text)
        return text

    @field_validator("keyless_scopes")
    @classmethod
    def _keyless_scopes(cls, text: str) -> str:
        if text.strip():
            parse_scopes(text.split(","))
        return text

    @model_validator(mode="after")
    def _safe(self) -> Self:
        safety.check(self)
        return self

    def keyless(self) -> frozenset[Scope]:
        """The scopes that need no key although there are keys."""
        return parse_scopes(self.keyless_scopes.split(",")) if self.keyless_scopes.strip() else frozenset()

    def local(self) -> bool:
        """Whether it listens to this machine alone."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def burst(self) -> int:
        """Pictures that may come at once under the rate limit."""
        return self.rate_burst or max(self.max_batch_images, math.ceil(2 * self.rate_limit))


def load(arguments: Sequence[str] | None = None) -> Settings:
    """Settings from the environment and, where given, command line arguments. An empty variable is as good as none.

    arguments: without the program's name; None reads the environment alone.
    Raises SettingsError for a value out of bounds, for a HANDPOSE_ variable that does not exist, and for an empty
    HANDPOSE_KEYS.
    `--help` and unknown flags end the process, as argparse does (0 and 2).
    """
    _refuse_unknown_variables()
    if "" in [value for name, value in os.environ.items() if name.upper() == f"{PREFIX}KEYS"]:
        raise SettingsError(
            f"{PREFIX}KEYS is empty, and would leave the service open to everybody; unset it if no key is needed"
        )
    try:
        if arguments is None:
            return Settings()
        return CliApp.run(Settings, cli_args=list(arguments))
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(item) for item in error.errors())) from None


def _refuse_unknown_variables() -> None:
    known = [name.upper() for name in Settings.model_fields]
    for variable in sorted(os.environ):
        if not variable.upper().startswith(PREFIX):
            continue
        name = variable.upper().removeprefix(PREFIX)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {PREFIX}{close[0]}?" if close else f"there are {PREFIX}{{{','.join(known)}}}"
            )
            raise SettingsError(f"there is no setting {variable}; {hint}")


def _explain(item: Any) -> str:
    error = item.get("ctx", {}).get("error")  # one of ours
    if isinstance(error, safety.UnsafeError):
        return str(error)
    name = str(item["loc"][0]) if item["loc"] else "?"
    flag = "--" + name.replace("_", "-")
    return f"{PREFIX}{name.upper()} ({flag}): {error or item['msg'].lower()}, not {str(item['input'])!r}"
