"""What every test may use."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


# Tests press Ctrl-C; where the tests themselves run in the background, it would be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path | None:
    """The folder of real photos, where there is one: `HANDS_DATA`, or `shared/data` beside the repository."""
    folder = Path(os.environ.get("HANDS_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "hands" / "val.json").is_file() else None
