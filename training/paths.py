"""Where the training data lie."""

import os
from pathlib import Path

DATA_VARIABLE = "HANDS_DATA"
_UNNAMED = (Path("data"), Path("../shared/data"))


def data_root(given: Path | None = None) -> Path:
    """The folder that recipes name their data in: `given`, else $HANDS_DATA unless it is empty, else the first of
    `data/` and `../shared/data/` that exists.

    Raises FileNotFoundError that says where it looked.
    """
    candidates = _candidates(given)
    for folder in candidates:
        if folder.is_dir():
            return folder
    tried = ", ".join(str(folder) for folder in candidates)
    raise FileNotFoundError(f"no training data: looked for {tried}; name it with --data or {DATA_VARIABLE}")


def data_root_if_any(given: Path | None = None) -> Path | None:
    """The same, or None where none is named and none is there."""
    candidates = _candidates(given)
    return None if candidates == _UNNAMED and not any(map(Path.is_dir, candidates)) else data_root(given)


def _candidates(given: Path | None) -> tuple[Path, ...]:
    named = given or os.environ.get(DATA_VARIABLE)
    return (Path(named),) if named else _UNNAMED
