"""Decides when a frame is done."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.pipeline import Pipeline


class Gate:
    """Makes the detector wait from `shut` to `open`, so that a test decides when a frame is done."""

    def __init__(self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = threading.Event()
        self._open.set()
        self._entered = threading.Event()
        plain = pipeline.detect

        def detect(image: NDArray[np.uint8], turn: int | None = None) -> Any:
            self._entered.set()
            assert self._open.wait(10)
            return plain(image, turn)

        monkeypatch.setattr(pipeline, "detect", detect)

    def shut(self) -> None:
        self._open.clear()
        self._entered.clear()

    def open(self) -> None:
        self._open.set()

    async def until_entered(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 5)
