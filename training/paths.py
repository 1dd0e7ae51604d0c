"""Where the training data lie."""

import os
from pathlib import Path

DATA_VARIABLE = "HANDS_DATA"
_CANDIDATES = (Path("data"), Path("../shared/data"))


def data_root(given: Path | None = None) -> Path:
    """The folder that recipes name their data in: `given`, else $HANDS_DATA, else the first of `data/` and
    `../shared/data/` that exists.

    Raises FileNotFoundError that says where it looked.
    """
    named = given or (Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else None)
    candidates = (named,) if named else _CANDIDATES
    for folder in candidates:
        if folder.is_dir():
            return folder
    tried = ", ".join(str(folder) for folder in candidates)
    raise FileNotFoundError(f"no training data: looked for {tried}; name it with --data or {DATA_VARIABLE}")


def data_root_if_any(given: Path | None = None) -> Path | None:
    """The same, or None where none is named and none is there."""
    named = given or os.environ.get(DATA_VARIABLE)
    return data_root(given) if named or any(folder.is_dir() for folder in _CANDIDATES) else None
