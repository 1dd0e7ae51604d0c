"""A report of training runs: pictures as PNG files and one HTML page that holds everything and needs no network."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from training import plots
from training.coco_metrics import size_range
from training.evaluate import (
    THRESHOLD,
    Figures,
    detect_in,
    estimate,
    hand_crops,
    pose_errors,
    pose_figures,
    torch_detector,
    torch_pose,
)
from training.photo_sets import PhotoSet
from training.preview import write_picture
from training.recipe import Recipe
from training.report_page import PHOTOS, Grid, Picture, RunReport, Section, inline_photo, inline_png, render
from training.runs import TrainedRun
from training.sample_pictures import (
    box_sheet,
    heatmap_sheet,
    skeleton_sheet,
    spread_by_error,
    spread_photos,
)
from training.schedule import Schedule
from training.tables import FIGURE_NAMES, JOINT_COLUMNS, joint_cells

PAGE = "index.html"
_HANDS, _HEATMAPS, _PHOTOS = 16, 6, 12  # shown
_RATE = "train/learning_rate"
_PLOT_SCALE = 0.76  # three panels fill the page
_NOT_LOSSES = {_RATE, "train/samples_per_second"}


class Reporter:
    """Writes the pictures of one run into `folder` and keeps them for the page."""

    def __init__(self, run: TrainedRun, folder: Path, id: str) -> None:
        self.run, self.folder, self.id = run, folder, id
        self.folder.mkdir(parents=True, exist_ok=True)

    def report(self, sets: Sequence[PhotoSet]) -> RunReport:
        """Judge the run on those sets that it can be judged on. Raises ValueError if there is none."""
        sets = [photos for photos in sets if self.run.task in photos.parts]
        if not sets:
            raise ValueError(f"no photos to judge the {self.run.task} {self.run.name} on")
        sections = self._training()
        headline: tuple[tuple[str, str], ...] = ()
        for number, photos in enumerate(sets):
            section, figures = self._judged(photos, f"{self.id}-photos-{number}")
            sections.append(section)
            headline = headline or _headline(figures, photos.name)
        sections += [self._recipe(), *self._card()]
        title = f"{self.run.name} ({_weights(self.run)})"
        return RunReport(self.id, title, self.run, _facts(self.run), headline, tuple(sections))

    def _training(self) -> list[Section]:
        curves = self.run.curves
        section = Section(f"{self.id}-training", "Training")
        losses = {tag.removeprefix("train/"): c for tag, c in curves.items() if tag.startswith("train/")}
        losses = {name: c for name, c in losses.items() if f"train/{name}" not in _NOT_LOSSES}
        if losses:
            alt = "Loss by step: " + "; ".join(
                f"{n} from {c[1][0]:.3g} to {c[1][-1]:.3g}" for n, c in losses.items()
            )
            caption = "The loss and its parts by step, raw and smoothed."
            section.pictures.append(self._plot("losses", lambda: plots.draw_losses(losses), alt, caption))
        if (rate := self._rate()) is not None:
            alt = f"Learning rate by step: at most {rate[1].max():.3g}, {rate[1][-1]:.3g} at the end"
            section.pictures.append(
                self._plot("learning-rate", lambda: plots.draw_rate(rate), alt, "Learning rate.")
            )
        judged = {t.removeprefix("validation/"): c for t, c in curves.items() if t.startswith("validation/")}
        if judged:
            alt = "Validation figures by step: " + "; ".join(
                f"{n} {c[1][-1]:.3f} last" for n, c in judged.items()
            )
            best = self._best_step(judged)
            named = {_name(figure): curve for figure, curve in judged.items()}
            caption = "Figures on validation photos during the run. The dotted line is the step these weights are from."
            section.pictures.append(
                self._plot("validation", lambda: plots.draw_validation(named, best), alt, caption)
            )
        return [section] if section.pictures else []

    def _rate(self) -> plots.Series | None:
        """As written during the run; of runs that did not write it, as their recipe says."""
        if _RATE in self.run.curves:
            return self.run.curves[_RATE]
        if not self.run.curves or self.run.recipe.get("steps") is None:
            return None
        schedule = Schedule.of(Recipe.stored(self.run.recipe))
        steps = np.unique(np.linspace(0, schedule.steps - 1, 400).astype(int))
        return steps.astype(float), np.array([schedule.learning_rate(int(step)) for step in steps])

    def _best_step(self, judged: Mapping[str, plots.Series]) -> int | None:
        """The step whose figures are the ones stored with the weights."""
        for name, value in self.run.metrics.items():
            if name in judged:
                steps, values = judged[name]
                same = steps[np.isclose(values, value, rtol=1e-6)]
                if len(same) == 1:
                    return int(same[0])
        return None

    def _judged(self, photos: PhotoSet, id: str) -> tuple[Section, Figures]:
        title = f"On {photos.name}, {len(photos.photos)} photos"
        section = Section(id, title)
        stem = _slug(photos.name.removesuffix(".json"))
        judge = self._detector if self.run.task == "detector" else self._pose
        return section, judge(photos, section, stem)

    def _detector(self, photos: PhotoSet, section: Section, stem: str) -> Figures:
        found = detect_in(torch_detector(self.run.network), photos.photos, self.run.input_size)
        figures, coco = found.figures(THRESHOLD), found.coco
        section.text = (
            "Boxes count as right at the IoU given; AP is COCO's, the mean over IoU 0.50 to 0.95. Recall and precision "
            f"are at IoU 0.5 and score {THRESHOLD}."
        )
        section.grids.append(_figure_grid(figures))
        rows = []
        for name, size in coco.by_size.items():
            rows.append(
                (
                    f"{name}: {size_range(name)}",
                    str(size.hands),
                    *(_number(v) for v in (size.ap, size.ap50, size.ar)),
                )
            )
        caption = "By size of hand: the side of its box over the photo's longer side"
        section.grids.append(Grid(caption, ("size", "hands", "AP", "AP50", "AR"), tuple(rows)))
        alt = f"Precision over recall. AP50 {coco.ap50:.3f}, AP75 {coco.ap75:.3f}, AP {coco.ap:.3f}"
        section.pictures.append(
            self._plot(
                f"{stem}-precision-recall",
                lambda: plots.draw_precision_recall(coco),
                alt,
                "Precision and recall.",
            )
        )
        legend = (
            "True boxes are white; found ones blue with their score, false ones orange; missed hands yellow."
        )
        some, failed = spread_photos(found, _PHOTOS)
        for name, chosen, what in (
            ("detections", some, "Photos evenly spaced over the set."),
            ("failures", failed, "Photos with a missed hand or a false box, evenly spaced over all such."),
        ):
            if chosen:
                sheet = box_sheet(photos.photos, found, chosen)
                alt = f"{len(chosen)} photos with true and found boxes"
                section.pictures.append(self._picture(f"{stem}-{name}", sheet, alt, f"{what} {legend}"))
        return figures

    def _pose(self, photos: PhotoSet, section: Section, stem: str) -> Figures:
        data = hand_crops(photos.photos, self.run.input_size)
        poses = estimate(torch_pose(self.run.network), data.crops)
        figures, errors = pose_figures(poses, data), pose_errors(poses, data)
        section.text = (
            "Crops of true boxes. PCK, AUC and error are over the larger side of the hand's tight box; EPE and AUC "
            "0–30 px are in pixels of the photo."
        )
        section.grids.append(_figure_grid(figures))
        all_joints = errors.joint()
        alt = (
            f"Share of correct keypoints over the threshold. AUC {all_joints.auc:.3f}, "
            f"0–30 px {all_joints.auc_30px:.3f}"
        )
        section.pictures.append(
            self._plot(f"{stem}-pck", lambda: plots.draw_pck(errors), alt, "PCK by threshold.")
        )
        chosen = spread_by_error(errors, _HEATMAPS)
        sheet = heatmap_sheet(self.run.network, data, chosen)
        caption = (
            "From top to bottom: the crop, the target heatmaps and the predicted ones; the brightest of the 21 maps at "
            "each place. From the most exact hand on the left to the least exact one."
        )
        section.pictures.append(
            self._picture(
                f"{stem}-heatmaps",
                sheet,
                f"{len(chosen)} hands, their target and predicted heatmaps",
                caption,
            )
        )
        chosen = spread_by_error(errors, _HANDS)
        sheet = skeleton_sheet(data, poses.keypoints, chosen)
        caption = (
            "In each pair the true skeleton is on the left and the predicted one on the right. Evenly spaced over all "
            "hands, from the most exact one at the top left to the least exact one at the bottom right."
        )
        section.pictures.append(
            self._picture(
                f"{stem}-skeletons", sheet, f"{len(chosen)} hands with true and predicted skeletons", caption
            )
        )
        rows = tuple((j.name, *joint_cells(j)) for j in (*errors.joints(), all_joints))
        section.grids.append(Grid("Keypoint by keypoint", ("keypoint", *JOINT_COLUMNS.values()), rows))
        return figures

    def _recipe(self) -> Section:
        section = Section(f"{self.id}-recipe", "Recipe")
        rows = tuple(
            (name, value) for name, value in _flat(self.run.recipe) if not name.startswith("data.sources")
        )
        section.grids.append(Grid("The recipe as it was run", ("field", "value"), rows))
        return section

    def _card(self) -> list[Section]:
        card = self.run.card
        if card is None:
            return []
        section = Section(f"{self.id}-card", "Card")
        section.text = f"Licence of the weights: {card.licence}. Initialised from {card.initialised_from}."
        data = tuple((d.name, d.licence, str(d.images or ""), d.remarks) for d in card.data)
        section.grids.append(Grid("Trained on", ("data", "licence", "images", "remarks"), data))
        measured = tuple((m.data, m.name, f"{m.value:.4f}", m.command) for m in card.metrics)
        section.grids.append(Grid("Figures in the card", ("data", "figure", "value", "command"), measured))
        section.grids.append(Grid("Files", ("file", "sha256"), tuple(card.sha256.items())))
        return [section]

    def _plot(self, name: str, draw: Callable[[], Plot], alt: str, caption: str) -> Picture:
        width, height = plots.save(draw, self.folder, name)
        pictures = (inline_png(self.folder / f"{name}{theme}.png") for theme in plots.THEMES)
        return Picture(alt, caption, round(width * _PLOT_SCALE), round(height * _PLOT_SCALE), *pictures)

    def _picture(self, name: str, image: NDArray[np.uint8], alt: str, caption: str) -> Picture:
        path = self.folder / f"{name}.png"
        write_picture(image, path)
        return Picture(alt, caption, image.shape[1], image.shape[0], inline_photo(image))


def write_report(runs: Sequence[tuple[TrainedRun, Sequence[PhotoSet]]], target: Path) -> Path:
    """Write `target`/index.html, which holds all its pictures, and in a folder for each run the same pictures as PNG.

    runs: each with the photos it is judged on. Returns the page's path. Raises ValueError for no run, or one that
    none of its photos can judge.
    """
    if not runs:
        raise ValueError("no run to report")
    reports = []
    for number, (run, sets) in enumerate(runs, start=1):
        id = _slug(f"{number}-{run.name}" if len(runs) > 1 else run.name)
        reports.append(Reporter(run, target / id, f"run-{id}").report(sets))
    page = target / PAGE
    page.write_text(render(reports), encoding="utf-8")
    return page


def _facts(run: TrainedRun) -> tuple[tuple[str, str], ...]:
    length = run.recipe.get("steps"), run.recipe.get("epochs")
    return (
        ("task", run.task),
        ("architecture", run.architecture),
        ("version", run.version),
        ("input", f"{run.input_size} px"),
        ("parameters", f"{sum(p.numel() for p in run.network.parameters()):,}"),
        (
            "length",
            f"{length[1]} epochs" if length[1] else f"{length[0]} steps" if length[0] else "not recorded",
        ),
        ("samples seen", f"{run.samples:,}"),
        ("weights", _weights(run)),
    )


def _weights(run: TrainedRun) -> str:
    return run.source.name if run.source.is_file() else f"checkpoint {run.source.name}/"


def _headline(figures: Figures, where: str) -> tuple[tuple[str, str], ...]:
    wanted = ("ap50", "ap", "recall", "precision", "pck_0.1", "pck_0.2", "auc", "epe")
    return ((PHOTOS, where), *((FIGURE_NAMES[k], _number(figures[k])) for k in wanted if k in figures))


def _figure_grid(figures: Figures) -> Grid:
    return Grid("Figures", tuple(map(_name, figures)), (tuple(_number(value) for value in figures.values()),))


def _slug(name: str) -> str:
    """A name for files and for places on the page."""
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _name(figure: str) -> str:
    return FIGURE_NAMES.get(figure, figure.replace("_", " "))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested tables as dotted names, one row a value."""
    if isinstance(value, Mapping):
        return [
            row for key, item in value.items() for row in _flat(item, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        return [row for number, item in enumerate(value, 1) for row in _flat(item, f"{name}.{number}")]
    if isinstance(value, list | tuple):
        return [(name, ", ".join(map(str, value)))]
    return [(name, "" if value is None else str(value))]
