"""What ``python -m training`` can do; each command's heavy imports wait until it runs."""

import argparse
import json
from pathlib import Path

from training.judging import EVALUATE, REPORT
from training.options import CHECKPOINT, RUNS, Command, CommandError, at_least

PRECISIONS = ("float32", "bfloat16", "float16")
PREVIEWS = {"synthetic": ".png", "sequence": ".mp4"}  # what can be drawn, and the file it goes to by default


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="a recipe, e.g. training/recipes/default-pose.toml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, in TOML: seed=14, optimiser.rate=2e-4; repeatable",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the run's state.pt if there is one"
    )
    parser.add_argument("--to", type=Path, help="the run's folder (default: runs/<name of the recipe>)")
    parser.add_argument(
        "--weights",
        help="starting weights instead of the recipe's: coco (Faster R-CNN; downloaded), none, or a checkpoint folder, "
        "a best.pt, or torchvision's file of COCO weights",
    )
    parser.add_argument(
        "--limit",
        type=at_least(1),
        metavar="N",
        help="try it out: at most N pictures of each part of the data, batches of at most N, 2 epochs (or N steps of a "
        "recipe that counts steps); the run's folder is runs/<name>-limit-N then",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (default), cpu, cuda, cuda:N or mps; under torchrun each process takes a GPU of its own",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="precision of the network, instead of the recipe's; weights, losses and figures stay in float32",
    )
    parser.add_argument(
        "--workers", type=at_least(0), default=0, help="processes that prepare samples (default 0)"
    )


def _train(options: argparse.Namespace) -> None:
    from training.launch import launch
    from training.paths import data_root
    from training.recipe import load_recipe

    recipe = load_recipe(options.recipe, recipe_changes(options), options.limit)
    folder = options.to or RUNS / (
        recipe.name if recipe.limit is None else f"{recipe.name}-limit-{recipe.limit}"
    )
    if (folder / "state.pt").exists() and not options.resume:
        raise CommandError(f"{folder} holds a run already: add --resume, or remove it")
    launch(recipe, data_root(options.data), RUNS / "rendered", folder, options.workers, options.device)


def recipe_changes(options: argparse.Namespace) -> list[str]:
    """Lines of TOML: what the options of `train` change in a recipe, the last word last."""
    changes = list(options.set)
    if options.weights is not None:
        changes.append(f"init = {json.dumps(options.weights, ensure_ascii=False)}")
    if options.weights == "none":  # nothing in it is worth keeping as it is
        changes += ["frozen = 0", "freeze_norms = false"]
    if options.precision is not None:
        changes.append(f'precision = "{options.precision}"')
    return changes


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "weights",
        type=Path,
        nargs="+",
        help="best.pt or final.pt of a run; of several runs from the same start the mean is exported",
    )
    parser.add_argument(
        "--to",
        type=Path,
        help="checkpoint folder (default: checkpoint/ beside the file; for the default recipes without --limit, "
        "service/weights/<task>)",
    )


def _export(options: argparse.Namespace) -> None:
    from training.export import export_run
    from training.paths import data_root

    checkpoint = export_run(options.weights, options.to, data_root(options.data))
    print(f"{checkpoint.folder}: {checkpoint.card.name} {checkpoint.card.version}")
    for metric in checkpoint.card.metrics:
        print(f"  {metric.data}: {metric.name} {metric.value:.4f}")
    if checkpoint.has_graph:
        try:
            _print_quantised(checkpoint.folder, options)
        except ValueError as error:  # it is complete without, and served in float32
            print(f"no graph in 8-bit integers: {error}")
    if checkpoint.card.task == "pose" and checkpoint.card.score_calibration is None:
        command = f"python -m training evaluate --pose {checkpoint.folder} --calibration --write"
        print(f"its scores are not calibrated yet: {command}")


def _quantise_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, nargs="+", help="checkpoint folder")


def _quantise(options: argparse.Namespace) -> None:
    for folder in options.checkpoint:
        _print_quantised(folder, options)


def _print_quantised(folder: Path, options: argparse.Namespace) -> None:
    from training.paths import data_root
    from training.quantise import quantise

    moved = quantise(folder, data_root(options.data))
    print(
        f"{folder}: in 8-bit integers, too; the median of what it finds moves by {moved:.2f} px of its input"
    )


def _fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=("egohands", "freihand"), help="the data set")
    parser.add_argument("--to", type=Path, required=True, help="the folder to put it in")
    parser.add_argument("--accept-licence", action="store_true", help="its terms have been read and accepted")
    parser.add_argument("--sha256", action="append", help="FILE=SUM that an archive must have")
    parser.add_argument("--url", action="append", help="FILE=ADDRESS to take an archive from instead")


def _fetch(options: argparse.Namespace) -> None:
    from training.fetch import fetch

    fetch(options.name, options.to, options.accept_licence, options.sha256 or (), options.url or ())


def _preview_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=tuple(PREVIEWS), help="what to draw")
    parser.add_argument(
        "--to", type=Path, help="the file to write (default: runs/preview-<kind>.png, or .mp4 of a sequence)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0)


def _preview(options: argparse.Namespace) -> None:
    from training.paths import data_root_if_any
    from training.preview import KINDS

    target = options.to or RUNS / f"preview-{options.kind}{PREVIEWS[options.kind]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    KINDS[options.kind](target, data_root_if_any(options.data), options.seed)
    print(target)


def _sheet_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running service")
    parser.add_argument("--photos", default="hands/val.json", help="COCO keypoint file in the data folder")
    parser.add_argument("--source", help="only photos of this source")
    parser.add_argument("--to", type=Path, default=RUNS / "sheet.jpg", help="the picture to write")
    parser.add_argument("--count", type=at_least(1), default=10)
    parser.add_argument("--seed", type=at_least(0), default=0)


def _sheet(options: argparse.Namespace) -> None:
    from urllib.error import URLError

    from training.datasets.coco import CocoHands
    from training.figures import served_sheet
    from training.paths import data_root

    photos = CocoHands(data_root(options.data) / options.photos)
    if options.source:
        photos.entries = [entry for entry in photos.entries if entry.source == options.source]
    options.to.parent.mkdir(parents=True, exist_ok=True)
    try:
        served_sheet(options.url, photos, options.to, options.count, options.seed)
    except URLError as error:
        raise CommandError(f"{options.url}: {error.reason}") from None
    print(options.to)


def _label_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", help="COCO keypoint files in the data folder")
    parser.add_argument(
        "--found",
        default="",
        metavar="NAME",
        help="a file beside the recipes, as `found_hands` of a recipe: hands that the files do not list",
    )
    parser.add_argument(
        "--wrong",
        default="",
        metavar="NAME",
        help="a file beside the recipes, as `wrong_labels` of a recipe: hands that are to be labelled anew",
    )
    parser.add_argument("--pose", type=Path, help=CHECKPOINT)
    parser.add_argument("--to", type=Path, default=RUNS / "own-labels.json", help="the file to write")


def _label(options: argparse.Namespace) -> None:
    from service.engines.factory import Runtime
    from service.inference.pipeline import DEFAULT_POSE, Pipeline
    from training.datasets.photos import training_photos
    from training.paths import data_root
    from training.self_training import label_boxed_hands, write_labels

    root = data_root(options.data)
    photos = training_photos(root, options.photos, options.found, options.wrong)
    # In float32, so that labels do not depend on the CPU.
    pipeline = Pipeline.load(pose=options.pose or DEFAULT_POSE, runtime=Runtime(precision="float32"))
    labels = label_boxed_hands(pipeline.pose_engine, photos, root)
    options.to.parent.mkdir(parents=True, exist_ok=True)
    write_labels(labels, options.to)
    print(f"{options.to}: {sum(len(hands) for hands in labels.values())} hands in {len(labels)} photos")


COMMANDS: dict[str, Command] = {
    "fetch": Command("Download a public data set.", _fetch_arguments, _fetch),
    "train": Command("Train one network from a recipe.", _train_arguments, _train),
    "export": Command(
        "Write a run's weights as a checkpoint folder, with graphs in float32 and int8.",
        _export_arguments,
        _export,
    ),
    "quantise": Command(
        "Add graphs in 8-bit integers to checkpoint folders.", _quantise_arguments, _quantise
    ),
    "evaluate": EVALUATE,
    "report": REPORT,
    "label": Command("Label hands that have a box alone, where the pair is sure.", _label_arguments, _label),
    "sheet": Command("Draw what a running service answers for some photos.", _sheet_arguments, _sheet),
    "preview": Command("Draw training pictures with their labels.", _preview_arguments, _preview),
}
