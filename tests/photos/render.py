"""Renders the photos beside this file and their labels: `python tests/photos/render.py`.

They stand in for real photos where none can be had. The seeds were chosen by eye for clear, whole hands;
after a change to the renderer they show other hands, so look before committing.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from service.models.keypoints import KEYPOINT_NAMES
from training.datasets.synthetic.backgrounds import Backgrounds
from training.datasets.synthetic.crops import render_crop

SEEDS = (5, 26, 101, 102)
SIZE = 400
FOLDER = Path(__file__).resolve().parent


def main() -> None:
    images, annotations = [], []
    for number, seed in enumerate(SEEDS, start=1):
        picture = render_crop(seed, SIZE, Backgrounds([]))
        (hand,) = picture.hands
        assert hand.keypoints is not None
        name = f"rendered_{seed:03d}.jpg"
        cv2.imwrite(str(FOLDER / name), picture.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE, "source": "synthetic"})
        labelled = np.column_stack([hand.keypoints, np.full(len(KEYPOINT_NAMES), 2)])
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [round(float(v), 1) for v in hand.box],
                "area": round(float(hand.box[2] * hand.box[3]), 1),
                "keypoints": [round(float(v), 1) for v in labelled.ravel()],
                "num_keypoints": len(KEYPOINT_NAMES),
                "handedness": hand.handedness,
            }
        )
    labels = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "hand", "keypoints": list(KEYPOINT_NAMES)}],
    }
    (FOLDER / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
