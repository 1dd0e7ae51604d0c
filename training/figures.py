"""Pictures of results, for documents."""

import urllib.request
from pathlib import Path

import cv2
import numpy as np

from service.inference.geometry import Pyramid, letterbox
from training.datasets.coco import CocoHands
from training.preview import contact_sheet, write_picture

_TILE, _PER_ROW = 256, 5


def served_sheet(url: str, photos: CocoHands, target: Path, count: int = 10, seed: int = 0) -> None:
    """Draw what a running service answers (`Accept: image/png`) for `count` photos, and write them as one picture.

    url: address of the service. photos: those with a labelled hand are drawn from by chance (`seed`).
    Raises urllib.error.URLError if the service cannot be reached or refuses a photo, OSError when the
    file cannot be written.
    """
    rng = np.random.default_rng(seed)
    order = [int(i) for i in rng.permutation(len(photos)) if photos.entries[i].hands]
    tiles = []
    for index in order[:count]:
        request = urllib.request.Request(
            f"{url.rstrip('/')}/v1/pose",
            data=photos.entries[index].path.read_bytes(),
            headers={"Content-Type": "image/jpeg", "Accept": "image/png"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            drawn = cv2.imdecode(np.frombuffer(response.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
        tiles.append(letterbox(Pyramid(np.asarray(drawn, np.uint8)), _TILE, multiple=_TILE)[0])
    write_picture(contact_sheet(tiles, _PER_ROW), target)
