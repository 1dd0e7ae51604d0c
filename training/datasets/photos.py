"""Folders of plain photos, and boxes in them that were taken for hands."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.coco import DatasetError, read_rgb

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class PhotoFolder:
    """Photos of one or more folders in the order of their names, read from disk when asked for.

    Raises DatasetError for a folder without photos, or a file that is no picture (when it is read).
    """

    def __init__(self, *folders: Path) -> None:
        self.files: list[Path] = []
        for folder in folders:
            files = sorted(f for f in folder.glob("*") if f.suffix.lower() in _SUFFIXES)
            if not files:
                raise DatasetError(f"{folder} has no photos")
            self.files += files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        return read_rgb(self.files[index])


class FalseHands:
    """What an earlier pair took for hands and is none, in photos of the data folder.

    The file is a JSON object: for each photo's path in the data folder, a list of boxes x, y, width, height in its
    pixels. Raises DatasetError for a file that is missing or something else, and for a photo that is missing (when it
    is read).
    """

    def __init__(self, data: Path, name: str) -> None:
        """data: the data folder. name: the file, beside the recipes."""
        path = RECIPES / name
        try:
            listed = json.loads(path.read_text())
            self.boxes = [
                (data / photo, np.array(box, np.float32).reshape(4))
                for photo, boxes in listed.items()
                for box in boxes
            ]
        except FileNotFoundError:
            raise DatasetError(f"{path} does not exist") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path} is no list of boxes by photo: {error}") from None
        if not self.boxes:
            raise DatasetError(f"{path} has no boxes")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(H, W, 3) uint8 RGB and (4,) float32 x, y, width, height in its pixels."""
        path, box = self.boxes[index]
        return read_rgb(path), box
