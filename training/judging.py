"""The commands that judge what was trained: `evaluate` and `report`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.options import CHECKPOINT, RUNS, Command, CommandError, add_precision, at_least

if TYPE_CHECKING:
    from service.inference.pipeline import Pipeline
    from training.photo_sets import PhotoSet


def _judged_arguments(parser: argparse.ArgumentParser) -> None:
    """Which photos a checkpoint is judged on; `_judged_photos` reads them."""
    parser.add_argument(
        "--freihand", type=Path, metavar="DIR", help="FreiHAND: its evaluation set, for keypoints"
    )
    parser.add_argument("--egohands", type=Path, metavar="DIR", help="EgoHands: its test videos, for boxes")
    parser.add_argument(
        "--limit", type=at_least(1), metavar="N", help="at most N photos of each set, evenly spaced"
    )


def _judged_photos(options: argparse.Namespace, root: Path) -> "list[PhotoSet]":
    from training.photo_sets import photo_sets
    from training.recipe import VALIDATION

    public = options.freihand or options.egohands
    names = options.photos or (() if public else VALIDATION)
    return photo_sets([root / name for name in names], options.freihand, options.egohands, options.limit)


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", type=Path, help=CHECKPOINT)
    parser.add_argument("--pose", type=Path, help=CHECKPOINT)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    add_precision(parser)
    parser.add_argument("--markdown", action="store_true", help="print the tables as README has them")
    parser.add_argument("--joints", action="store_true", help="print a table of all 21 keypoints too")
    parser.add_argument(
        "--calibration",
        action="store_true",
        help="print instead how well scores are calibrated, and calibrations fitted on training photos and new scenes",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="with --calibration: store the calibrations of hand and keypoint scores in the pose checkpoint's card",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="with --calibration: draw it, of the first set"
    )
    _judged_arguments(parser)
    parser.add_argument(
        "photos",
        nargs="*",
        help="COCO keypoint files in the data folder (default: hands/val.json hands/freihand_sample.json, or none with "
        "--freihand or --egohands)",
    )


def _evaluate(options: argparse.Namespace) -> None:
    from service.engines.base import EngineError
    from service.engines.factory import Runtime
    from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE, Pipeline
    from training.paths import data_root
    from training.tables import console, judge, print_judgement

    _check_calibration_options(options)
    needs_root = options.photos or options.calibration or not (options.freihand or options.egohands)
    root = data_root(options.data) if needs_root else Path()
    sets = _judged_photos(options, root)
    try:
        runtime = Runtime(device=options.device, precision=options.precision)
        pipeline = Pipeline.load(
            options.detector or DEFAULT_DETECTOR, options.pose or DEFAULT_POSE, runtime=runtime
        )
    except EngineError as error:
        raise CommandError(str(error)) from None
    if options.calibration:
        _calibrate(options, pipeline, sets, root)
        return
    for photos in sets:
        judgement = judge(pipeline, photos.photos, photos.name, photos.parts)
        print_judgement(judgement, console(), options.markdown, options.joints)


def _calibrate(options: argparse.Namespace, pipeline: "Pipeline", sets: "list[PhotoSet]", root: Path) -> None:
    """`evaluate --calibration`: print it, store it, draw it."""
    from service.inference.calibration import PairCalibration
    from service.inference.pipeline import DEFAULT_DETECTOR, DEFAULT_POSE
    from service.models.checkpoint import Checkpoint
    from training.calibrate import calibrate, print_calibrations, write_calibration
    from training.plots import draw_reliability, save
    from training.tables import console

    detector = Checkpoint.load(options.detector or DEFAULT_DETECTOR)
    if options.write:  # what is stored is fitted to scores as they are without any
        pipeline.calibration = PairCalibration()
    found = calibrate(pipeline, sets, detector.card.recipe, root)
    if options.write:
        command = "python -m training evaluate --calibration --write"
        write_calibration(options.pose or DEFAULT_POSE, detector, found, command)
    for name, calibrations in found.items():
        print_calibrations(name, calibrations, console())
    if options.plot:
        save(lambda: draw_reliability(next(iter(found.values()))), options.plot.parent, options.plot.stem)


def _check_calibration_options(options: argparse.Namespace) -> None:
    """Raises CommandError for options of `evaluate` that would do nothing, or something else, beside the others."""
    if options.plot and not options.calibration:
        raise CommandError("--plot draws the reliability: add --calibration")
    if options.plot and options.plot.suffix != ".png":
        raise CommandError(f"--plot writes a PNG file: {options.plot} must end in .png")
    if options.write and not options.calibration:
        raise CommandError("--write stores the calibration: add --calibration")
    if options.write and options.precision != "float32":
        raise CommandError("--write stores a calibration of scores in float32: leave --precision out")
    if options.calibration and (options.markdown or options.joints):
        raise CommandError("--markdown and --joints are on tables that --calibration does not print")


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a run's folder, or a checkpoint folder"
    )
    parser.add_argument(
        "--to", type=Path, default=RUNS / "report", help="folder to write (default: runs/report)"
    )
    parser.add_argument(
        "--photos",
        action="append",
        metavar="FILE",
        help="COCO keypoint file in the data folder to judge the runs on; may be given again (default: what each run's "
        "recipe was judged on, the first of its data.validation or the public data set it was trained on)",
    )
    _judged_arguments(parser)


def _report(options: argparse.Namespace) -> None:
    from training.paths import data_root
    from training.photo_sets import own_photo_sets
    from training.report import write_report
    from training.runs import load_run

    chosen = options.photos or options.freihand or options.egohands
    root = data_root(options.data) if options.photos or not chosen else Path()
    given = _judged_photos(options, root) if chosen else None
    runs = [load_run(folder) for folder in options.runs]
    pairs = [(run, given or own_photo_sets(run.recipe, root, options.limit)) for run in runs]
    print(write_report(pairs, options.to))


EVALUATE = Command("Print what a pair measures on labelled photos.", _evaluate_arguments, _evaluate)
REPORT = Command("Write curves, tables and samples of runs as a web page.", _report_arguments, _report)
