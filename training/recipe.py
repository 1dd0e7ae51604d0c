"""A recipe: the whole truth of a training run, in one TOML file. Unknown fields are refused by name."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from service.models import architectures
from training.datasets.freihand import Version

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Architecture = Literal[
    "efficientnet-lite0-fpn",
    "efficientnet-lite1-fpn",
    "fasterrcnn-resnet50-fpn",
    "fasterrcnn-mobilenet-v3-large-320-fpn",
    "unet-16-32-64-128",
]
Precision = Literal["float32", "bfloat16", "float16"]

# Which network each task can train, and on which kind of data.
_TRAINED_ON: dict[tuple[str, str], str] = {
    ("detector", architectures.EFFICIENTNET_LITE0_FPN): "photos",
    ("pose", architectures.EFFICIENTNET_LITE0_FPN): "photos",
    ("pose", architectures.EFFICIENTNET_LITE1_FPN): "photos",
    ("detector", architectures.FASTER_RCNN_RESNET50): "egohands",
    ("detector", architectures.FASTER_RCNN_MOBILENET): "egohands",
    ("pose", architectures.UNET): "freihand",
}
# What the default pair is judged on if a recipe does not say so: files in the data folder.
VALIDATION = ("hands/val.json", "hands/freihand_sample.json")
# Fields of `DataSection` that stored recipes may still have.
_GONE = ("augment",)
# A run shortened by --limit has at most so many epochs.
_LIMITED_EPOCHS = 2


class RecipeError(ValueError):
    """A recipe that cannot be run; the message names the file and the field."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(_Section):
    """What the default pair is trained on. Paths are relative to the data folder."""

    kind: Literal["photos"] = "photos"
    photos: tuple[str, ...] = ()  # COCO keypoint files
    # Those that the network is judged on and never trained on; by the first one the best weights are chosen.
    validation: tuple[str, ...] = Field(VALIDATION, min_length=1)
    # Photos behind rendered hands; people with unlabelled hands may be in them.
    backgrounds: tuple[str, ...] = ()
    # Photos without any hand.
    negatives: tuple[str, ...] = ()
    # A file beside the recipes that lists more of them, a path in the data folder on each line.
    hand_free: str = ""
    # A file beside the recipes: in photos of the data folder, what an earlier pair took for hands and is none.
    false_hands: str = ""
    # A file beside the recipes: hands that nobody had labelled, in the photos and in others of the data folder.
    found_hands: str = ""
    # A file beside the recipes: hands of the photos whose keypoints are wrong; their boxes are kept.
    wrong_labels: str = ""
    # A file beside the recipes: keypoints of an earlier network in hands of the photos that have a box alone.
    own_labels: str = ""
    # How collections are weighted: a collection of n photos weighs n**source_power.
    source_power: Share = 0.5
    # Factors on top, by source (or how its name starts): below 1 for what is learnt already, above for what is not.
    source_weight: dict[str, Annotated[float, Field(gt=0)]] = {}
    # Sources (or how their names start) whose pictures show hands that are not labelled.
    incomplete_sources: tuple[str, ...] = ()
    rendered: int = Field(20_000, ge=1)  # rendered pictures in the pool
    rendered_size: int = Field(160, ge=64)  # their side in pixels
    rendered_seed: int = Field(1, ge=0)
    # A second pool, for detectors: rendered close-ups of one hand, as pose networks learn from.
    close_ups: int = Field(20_000, ge=1)
    close_ups_size: int = Field(224, ge=64)
    close_ups_seed: int = Field(15, ge=0)
    # Shares of a batch; they must sum to 1.
    share: dict[str, Share]
    # What the card says of each data set: name, licence, and remarks.
    sources: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "DataSection":
        if abs(sum(self.share.values()) - 1.0) > 1e-6:
            raise ValueError(f"share sums to {sum(self.share.values()):g}, not 1")
        return self

    @model_validator(mode="after")
    def _validation_files_are_told_apart(self) -> "DataSection":
        names = [PurePath(name).stem for name in self.validation]
        if len(set(names)) < len(names):
            raise ValueError(f"validation files are told by their names, which must differ: {names}")
        return self


class EgoHandsSection(_Section):
    """The reference detector's data: whole frames of EgoHands, split by video."""

    kind: Literal["egohands"]
    root: str  # the folder of EgoHands, relative to the data folder
    mirrored: Share = 0.5  # share of the training frames that are mirrored, left to right


class FreiHandSection(_Section):
    """The reference pose network's data: crops of FreiHAND's right hands, split by unique id."""

    kind: Literal["freihand"]
    root: str  # the folder of FreiHAND, relative to the data folder
    versions: tuple[Version, ...] = Field(min_length=1)  # "gs" are the green-screen pictures
    # Change scale, place, turn and light of training crops; false: the crops that serving cuts.
    augment: bool = True


def _kind(value: Any) -> str:
    return str(value.get("kind", "photos") if isinstance(value, dict) else getattr(value, "kind", "photos"))


AnyData = Annotated[
    Annotated[DataSection, Tag("photos")]
    | Annotated[EgoHandsSection, Tag("egohands")]
    | Annotated[FreiHandSection, Tag("freihand")],
    Discriminator(_kind),
]


class Phase(_Section):
    """A part of the run at one input size."""

    until: Share  # the share of all steps at which this phase ends
    size: int = Field(ge=64, multiple_of=32)  # side of the network's input in pixels
    batch: int = Field(ge=1)  # samples of a step, of all processes together


class OptimiserSection(_Section):
    """AdamW or SGD with a linear warm-up and a cosine to `final` of the peak rate."""

    kind: Literal["adamw", "sgd"] = "adamw"
    rate: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)  # of SGD
    weight_decay: float = Field(0.01, ge=0)
    warm_up: int = Field(150, ge=1)  # steps
    final: Share = 0.01
    clip: float = Field(5.0, gt=0)  # largest norm of the gradients
    ema: float = Field(0.998, ge=0, lt=1)  # decay of the averaged weights; 0: no average

    @model_validator(mode="after")
    def _momentum_is_used(self) -> "OptimiserSection":
        if self.kind != "sgd" and self.momentum != type(self).model_fields["momentum"].default:
            raise ValueError(f"momentum: {self.kind} has none")
        return self


class LossSection(_Section):
    """Weights of the parts of the loss; the task says which it has."""

    weight: dict[str, float]
    # Of Faster R-CNN: how many of a frame's proposed boxes its head learns from; proposals learn from half as many.
    boxes: int = Field(512, ge=4)


class Recipe(_Section):
    """One training run."""

    name: str
    version: str
    # What the card says of the weights; those of the reference pair have the terms of their data set.
    licence: str = "Apache-2.0"
    task: Literal["detector", "pose"]
    architecture: Architecture = "efficientnet-lite0-fpn"
    # "imagenet", "coco", "none", or a state dict or checkpoint folder to start from.
    init: str
    # What the card says about it. Where it is empty, or the card of the checkpoint folder that `init` names says it
    # already, what that card says is taken instead.
    init_remarks: str = ""
    # Set when a run starts: name, version and sha256 of the checkpoint folder that `init` named then, for the card.
    init_checkpoint: str = ""
    seed: int = Field(0, ge=0)
    # How long the run is: one of the two. An epoch shows every training picture once.
    steps: int | None = Field(None, ge=1)
    epochs: int | None = Field(None, ge=1)
    # Stem and blocks of the encoder that are not trained.
    frozen: int = Field(0, ge=0, le=17)
    # Whether Faster R-CNN's batch norms stay as they came.
    freeze_norms: bool = False
    # Make batch norms part of the convolutions before training: faster, for networks that have seen enough already.
    fold_norms: bool = False
    # Give batch norms that were folded once statistics again, of training pictures: for high rates.
    restore_norms: bool = False
    # What the network computes in; weights, losses and figures are in float32 whatever this is.
    precision: Precision = "float32"
    # Side of the input that the exported network is meant for.
    input_size: int = Field(ge=64, multiple_of=32)
    phases: tuple[Phase, ...] = Field(min_length=1)
    data: AnyData
    optimiser: OptimiserSection
    loss: LossSection
    # How often the state is saved and the network judged: in steps, or in epochs where `epochs` gives the length.
    save_every: int = Field(200, ge=1)
    evaluate_every: int = Field(2000, ge=1)
    # Set by --limit alone: at most so many pictures of each part of the data, and a short run.
    limit: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _phases_cover_the_run(self) -> "Recipe":
        ends = [phase.until for phase in self.phases]
        if ends != sorted(set(ends)) or ends[-1] != 1.0:
            raise ValueError("phases must end at rising shares of the run, the last at 1")
        return self

    @model_validator(mode="after")
    def _has_one_length(self) -> "Recipe":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.epochs is not None and self.data.kind == "photos":
            raise ValueError("photos are drawn at random and have no epochs: give steps")
        return self

    @model_validator(mode="after")
    def _data_fit_the_network(self) -> "Recipe":
        wanted = _TRAINED_ON.get((self.task, self.architecture))
        if wanted is None:
            raise ValueError(f"there is no {self.task} network {self.architecture}")
        if self.data.kind != wanted:
            raise ValueError(
                f"{self.architecture} is trained on data.kind {wanted!r}, not {self.data.kind!r}"
            )
        return self

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> "Recipe":
        """A recipe as a run or a card has it: fields that there were once are left out, those that are new have their
        defaults. Raises pydantic.ValidationError if it is no recipe all the same.
        """
        data = content.get("data")
        if isinstance(data, Mapping) and data.get("kind", "photos") == "photos":
            content = {**content, "data": {k: v for k, v in data.items() if k not in _GONE}}
        return cls.model_validate(content)

    def changed(self, **fields: Any) -> "Recipe":
        """The same recipe with other fields. Raises pydantic.ValidationError if they do not go together."""
        return Recipe.model_validate({**self.model_dump(), **fields})

    def shortened(self, limit: int) -> "Recipe":
        """A run to try things out: at most `limit` pictures of each part of the data, batches of at most `limit`, and
        2 epochs or `limit` steps.
        """
        phases = [{**phase.model_dump(), "batch": min(phase.batch, limit)} for phase in self.phases]
        data = self.data.model_dump()
        if "rendered" in data:
            data["rendered"] = min(data["rendered"], limit)
        if data.get("share", {}).get("close"):
            data["close_ups"] = min(data["close_ups"], limit)
        return self.changed(
            limit=limit,
            phases=phases,
            data=data,
            steps=self.steps and min(self.steps, limit),
            epochs=self.epochs and min(self.epochs, _LIMITED_EPOCHS),
        )


def load_recipe(path: Path, changes: Sequence[str] = (), limit: int | None = None) -> Recipe:
    """Read a recipe. changes: lines of TOML that replace what the file says, as `optimiser.rate = 2e-4`. Another `init`
    without remarks of its own has none: those of the file are on something else. limit: as `Recipe.shortened` takes it.

    Raises RecipeError if the file is missing, no TOML, or a field is missing, unknown or wrong.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(f"{path} does not exist") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is no TOML: {error}") from None
    init, fields = content.get("init"), set[str]()
    for change in changes:
        try:
            table = tomllib.loads(change)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{change!r} is no TOML: {error}") from None
        content = _merged(content, table)
        fields |= table.keys()
    if content.get("init") != init and "init_remarks" not in fields:
        content["init_remarks"] = ""
    try:
        recipe = Recipe.model_validate(content)
        return recipe if limit is None else recipe.shortened(limit)
    except ValidationError as error:
        lines = [f"{_field(e['loc'])}: {e['msg']}" for e in error.errors()]
        raise RecipeError(f"{path}: " + "; ".join(lines)) from None


def _field(place: tuple[int | str, ...]) -> str:
    """The name of a field in the file: pydantic puts the kind of data behind `data`."""
    names = [str(part) for part in place]
    if names[:1] == ["data"]:
        del names[1:2]
    return ".".join(names) or "recipe"


def _merged(content: Any, change: Any) -> Any:
    """Tables are merged, everything else is replaced."""
    if not (isinstance(content, dict) and isinstance(change, dict)):
        return change
    return {**content, **{key: _merged(content.get(key), value) for key, value in change.items()}}
