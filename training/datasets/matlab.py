"""Struct arrays from MATLAB files of version 5 (`save -v7` and older), with errors that say what is wrong."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

_HDF5 = b"\x89HDF\r\n\x1a\n"
# What SciPy raises for a file that is cut short or is something else.
_UNREADABLE = (MatReadError, OSError, ValueError, TypeError, IndexError, NotImplementedError, zlib.error)


class MatlabError(ValueError):
    """A file or value that is not what it should be; the message does not repeat the file's name."""


def read_struct(origin: Path | Any, name: str, fields: tuple[str, ...]) -> list[Any]:
    """The records of a struct array, first to last; each is indexed by field name.

    origin: a .mat file whose variable `name` is wanted, or a value that was read already (a nested struct array,
    `name` is for messages then). Raises MatlabError if the file is missing, of version 7.3, cut short or no .mat file,
    or if the value is no struct array with these fields.
    """
    value = _variable(origin, name) if isinstance(origin, Path) else origin
    present = getattr(getattr(value, "dtype", None), "names", None)
    if not present:
        raise MatlabError(f"{name} is no struct array")
    missing = [field for field in fields if field not in present]
    if missing:
        raise MatlabError(f"{name} has no field {', '.join(missing)}")
    return list(value.reshape(-1, order="F"))


def text(value: Any, name: str) -> str:
    """A char array of one row as a string. Raises MatlabError for anything else."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "U" or value.size != 1:
        raise MatlabError(f"{name} is no text")
    return str(value.item())


def scalar(value: Any, name: str) -> float:
    """A 1 × 1 number. Raises MatlabError for anything else."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or value.size != 1:
        raise MatlabError(f"{name} is no single number")
    return float(value.item())


def _variable(file: Path, name: str) -> Any:
    try:
        with file.open("rb") as stream:
            head = stream.read(520)
    except FileNotFoundError:
        raise MatlabError("the file does not exist") from None
    if head.startswith((_HDF5, b"MATLAB 7.3")) or head[512:].startswith(_HDF5):
        raise MatlabError(
            "this is a MATLAB file of version 7.3 (HDF5), which is not read here; in MATLAB, load it and save it "
            "again with -v7"
        )
    try:
        content = loadmat(file, variable_names=[name])
    except _UNREADABLE as error:
        raise MatlabError(f"this is no MATLAB file, or it is cut short ({error})") from None
    if name not in content:
        raise MatlabError(f"the file has no variable {name}")
    return content[name]
