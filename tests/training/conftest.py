"""What the tests of training share."""

from pathlib import Path

import pytest

from tests.training.datasets.miniature import write_egohands, write_freihand


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with `egohands` (two frames of a video of each part) and `freihand` (20 ids), never written to."""
    folder = tmp_path_factory.mktemp("data")
    videos = ("CARDS_LIVINGROOM_B_T", "CHESS_LIVINGROOM_H_T", "CARDS_COURTYARD_B_T")
    write_egohands(folder / "egohands", videos, frames=2)
    write_freihand(folder / "freihand", count=20, evaluation=2)
    return folder
