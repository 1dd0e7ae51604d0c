"""The whole way of the reference pair in small: `make train-smoke`.

From EgoHands and FreiHAND in miniature (the released formats, rendered pictures) to trained checkpoints, tables of
figures, the HTML report, and a service that answers with them. Every step is a command that a person would type. The
networks learn a few pictures by heart, so figures on held-out pictures mean little; those on the training pictures must
be good, and the service must find the hands in them.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.training.datasets.miniature import write_egohands, write_freihand
from tests.training.reference_recipes import RECIPES, small_detector, small_pose, write_toml
from training.datasets.egohands import EgoHands
from training.datasets.freihand import FreiHand
from training.evaluate import detect_in, evaluate_pose, hand_crops, torch_detector
from training.metrics import greedy_match
from training.photo_sets import thin_out
from training.reference_pose import bumps_engine
from training.runs import load_run

STEPS = {
    "reference-pose-green": 240,
    "reference-pose-all": 120,
    "detector-start": 250,
    "reference-detector": 250,
}
# What must be reached on the training pictures.
PCK, AP50 = 0.95, 0.95
SERVED_SHARE = 0.9  # of the hands in the training frames that the service must find
_ADDRESS = re.compile(r"listening on (http://\S+)")


class Smoke:
    """The steps, in one folder, and how long each took."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.seconds: dict[str, float] = {}
        self.console = Console()

    def run(self) -> None:
        """All steps. Raises CalledProcessError or AssertionError at the first that fails."""
        self._timed("write the data sets", self.write_data)
        self._timed("pose, green screen", self.train_pose, "reference-pose-green", ())
        weights = ("--weights", str(self.folder / "reference-pose-green" / "best.pt"))
        self._timed("pose, all versions", self.train_pose, "reference-pose-all", weights)
        self._timed("detector", self.train_detector)
        self._timed("proof", self.prove)
        self._timed("shipped recipes, --limit 2", self.train_shipped)
        self._timed("tables", self.evaluate)
        self._timed("report", self.report)
        self._timed("service", self.serve)
        table = Table("step", "seconds", title="train-smoke")
        for name, seconds in (*self.seconds.items(), ("in all", sum(self.seconds.values()))):
            table.add_row(name, f"{seconds:.0f}")
        self.console.print(table)

    def _timed(self, name: str, step: Any, *arguments: Any) -> None:
        self.console.rule(name)
        started = time.monotonic()
        step(*arguments)
        self.seconds[name] = time.monotonic() - started

    def _training(self, *words: object) -> None:
        command = [sys.executable, "-m", "training", "--data", self.data, *words]
        subprocess.run([str(word) for word in command], check=True)

    def write_data(self) -> None:
        """Eight frames of a video of each part; nine hands to train on, one held out, two of the evaluation set."""
        videos = ("CARDS_LIVINGROOM_B_T", "CHESS_LIVINGROOM_H_T", "CARDS_COURTYARD_B_T")
        write_egohands(self.data / "egohands", videos, frames=8)
        write_freihand(self.data / "freihand", count=10, evaluation=2)

    def train_pose(self, name: str, extra: tuple[str, ...]) -> None:
        """The U-Net at 64 px, without random changes, then its checkpoint."""
        optimiser = {"rate": 4e-3, "warm_up": 10, "ema": 0.9}
        recipe = small_pose(name, steps=STEPS[name], limit=8, optimiser=optimiser, data={"augment": False})
        self._train(write_toml(recipe, self.folder / f"{name}.toml"), name, *extra)
        self._training("export", self.folder / name / "best.pt")

    def train_detector(self) -> None:
        """Faster R-CNN with the MobileNet backbone, then its checkpoint.

        The shipped recipe starts from COCO weights and freezes their batch norms. Here a first run from nothing stands
        in for them: its norms saw two frames at a time, and what they kept of that is frozen in the second.
        At 512 px a frame is 288 px high, a multiple of 32: serving pads nothing, so it shows what was learned by heart.
        """
        for name, rate, fields in (
            ("detector-start", 1e-3, {}),
            (
                "reference-detector",
                5e-4,
                {"freeze_norms": True, "init": f"{self.folder}/detector-start/final.pt"},
            ),
        ):
            optimiser = {"kind": "adamw", "rate": rate, "warm_up": 20, "ema": 0.95}
            steps, data = STEPS[name], {"mirrored": 0.0}
            recipe = small_detector(512, 2, steps=steps, optimiser=optimiser, data=data, **fields)
            self._train(write_toml(recipe, self.folder / f"{name}.toml"), name)
        self._training("export", self.folder / "reference-detector" / "best.pt")

    def _train(self, recipe: Path, name: str, *extra: str) -> None:
        self._training("train", recipe, "--to", self.folder / name, "--device", "cpu", *extra)

    def prove(self) -> None:
        """Both networks know the pictures they were trained on: losses and targets are right."""
        green, detector = (load_run(self.folder / f"reference-{name}") for name in ("pose-green", "detector"))
        hands = thin_out(FreiHand(self.data / "freihand", split="train"), 8)
        pck = evaluate_pose(bumps_engine(green.network), hand_crops(hands, green.input_size))["pck_0.1"]
        frames = EgoHands(self.data / "egohands", "train")
        ap50 = detect_in(torch_detector(detector.network), frames, detector.input_size).coco.ap50
        self.console.print(f"U-Net: PCK@0.1 {pck:.3f} on the {len(hands)} hands it was trained on")
        self.console.print(f"Faster R-CNN: AP50 {ap50:.3f} on the {len(frames)} frames it was trained on")
        assert pck >= PCK
        assert ap50 >= AP50

    def train_shipped(self) -> None:
        """The recipes as they ship, ResNet-50 and all, but for the size of frames; two epochs of two pictures."""
        flags = ("--limit", 2, "--precision", "float32", "--device", "cpu", "--weights", "none")
        green = RECIPES / "reference-pose-green.toml"
        self._training("train", green, "--to", self.folder / "limited-pose", *flags)
        recipe = small_detector(size=256, architecture="fasterrcnn-resnet50-fpn")
        resnet = write_toml(recipe, self.folder / "resnet.toml")
        self._training("train", resnet, "--to", self.folder / "limited-resnet", *flags)

    def checkpoint(self, name: str) -> Path:
        return self.folder / name / "checkpoint"

    def evaluate(self) -> None:
        """The tables of the pair on both data sets."""
        pair = (
            "--detector",
            self.checkpoint("reference-detector"),
            "--pose",
            self.checkpoint("reference-pose-all"),
        )
        sets = ("--egohands", self.data / "egohands", "--freihand", self.data / "freihand")
        self._training("evaluate", *pair, *sets, "--device", "cpu", "--joints")

    def report(self) -> None:
        """The page and its pictures."""
        runs = [
            self.folder / name
            for name in ("reference-detector", "reference-pose-green", "reference-pose-all")
        ]
        self._training("report", *runs, "--to", self.folder / "report")
        assert (self.folder / "report" / "index.html").stat().st_size > 10_000
        assert list((self.folder / "report").rglob("*.png"))

    def serve(self) -> None:
        """Start the service with both checkpoints and send it the training frames."""
        pair = (
            "--detector",
            self.checkpoint("reference-detector"),
            "--pose",
            self.checkpoint("reference-pose-all"),
        )
        flags = ("--port", 0, "--engine", "torch", "--device", "cpu", "--presence-threshold", 0, *pair)
        command = [sys.executable, "-m", "service", *map(str, flags)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                address = next((m[1] for line in process.stderr if (m := _ADDRESS.search(line))), None)
                assert address, "the service did not start"
                self._ask(address)
            finally:
                process.terminate()
                process.communicate()

    def _ask(self, address: str) -> None:
        models = json.loads(_get(f"{address}/v1/models"))
        self.console.print(json.dumps({task: model["architecture"] for task, model in models.items()}))
        assert models["pose"]["name"] == "reference-pose-all"
        assert models["detector"]["name"] == "reference-detector"
        frames = EgoHands(self.data / "egohands", "train")
        labelled = found = 0
        for entry in frames.entries:
            request = urllib.request.Request(
                f"{address}/v1/pose?min_score=0&max_hands=8", entry.path.read_bytes()
            )
            request.add_header("Content-Type", "image/jpeg")
            hands = json.loads(_get(request))["hands"]
            assert all(len(hand["keypoints"]) == 21 for hand in hands)
            boxes = np.array([list(hand["box"].values()) for hand in hands], np.float32).reshape(-1, 4)
            truth = np.array([hand.box for hand in entry.hands], np.float32).reshape(-1, 4)
            labelled += len(truth)
            found += sum(match >= 0 for match in greedy_match(boxes, truth))
        self.console.print(
            f"the service finds {found} of {labelled} hands in the {len(frames)} training frames, at IoU 0.5"
        )
        assert found >= SERVED_SHARE * labelled


def _get(request: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=120) as response:
        content: bytes = response.read()
        return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train and serve the reference pair in small.")
    parser.add_argument(
        "--to", type=Path, default=Path("runs/smoke"), help="folder; what is in it is removed"
    )
    target = parser.parse_args().to
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    Smoke(target).run()
