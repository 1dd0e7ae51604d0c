"""A data folder of one's own, of the four photos with hands that ship with the tests."""

import json
import shutil
from pathlib import Path


def copy_photos(root: Path, data: Path, *names: str) -> None:
    """Write a COCO keypoint file for each of these names into the data folder, each with photos of its own."""
    photos = root / "tests" / "photos"
    content = json.loads((photos / "labels.json").read_text())
    for name in names:
        (data / name).mkdir()
        for image in content["images"]:
            shutil.copy(photos / image["file_name"], data / name)
        images = [{**image, "file_name": f"{name}/{image['file_name']}"} for image in content["images"]]
        (data / f"{name}.json").write_text(json.dumps({**content, "images": images}))
