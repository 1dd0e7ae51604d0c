"""What a run keeps on disk, so that it goes on as if nothing had happened."""

import os
from pathlib import Path
from typing import Any

import torch

from training import distributed


def write(path: Path, content: dict[str, Any]) -> None:
    """Save `content`; a kill in the middle leaves the file that was there."""
    scratch = path.with_suffix(".partial")
    torch.save(content, scratch)
    os.replace(scratch, path)


def read(path: Path, *needed: str) -> dict[str, Any]:
    """What `write` saved, on the CPU, or another file of weights.

    needed: keys without which it is not the training loop's. Raises ValueError for a file without them, or one that is
    damaged or something else; OSError for one that cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - torch unpickles whatever is there, and may raise anything
        raise ValueError(f"{path} is damaged, or no file of weights") from None
    if not isinstance(content, dict) or not content.keys() >= set(needed):
        raise ValueError(f"{path} was not written by the training loop")
    return content


def random_states(device: torch.device) -> list[dict[str, Any]]:
    """The states of the random number generators, of every process."""
    own: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        own["mps"] = torch.mps.get_rng_state()
    return distributed.gather(own)


def seed(number: int) -> None:
    """Start this process's random numbers; those of process 0 are the ones of a process alone."""
    torch.manual_seed(number + 1_000_003 * distributed.process())


def restore_random_state(states: list[dict[str, Any]], device: torch.device) -> None:
    """Go on with the random numbers of `random_states`, as far as there was this process and this kind of device."""
    if distributed.process() >= len(states):
        return
    own = states[distributed.process()]
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda" and "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"], device)
    if device.type == "mps" and "mps" in own:
        torch.mps.set_rng_state(own["mps"])
