"""The reference pair from its recipes to a service that answers, each step as a person would type it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from service.models.checkpoint import Checkpoint
from tests.end_to_end.conftest import Server
from tests.training.reference_recipes import RECIPES, small_detector, small_pose, write_toml
from training.__main__ import argument_parser, main
from training.commands import recipe_changes
from training.recipe import Recipe, load_recipe


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def pair(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `detector`, `green` and `all`, each with its checkpoint."""
    folder = tmp_path_factory.mktemp("pair")
    threads = torch.get_num_threads()
    recipes = {
        "detector": small_detector(size=96, data={"mirrored": 0.5}),
        "green": small_pose(size=64),
        "all": small_pose("reference-pose-all", size=64),
    }
    for name, recipe in recipes.items():
        file = write_toml(recipe, folder / f"{name}.toml")
        words: list[object] = ["--data", miniature, "train", file, "--to", folder / name, "--limit", 2]
        if name == "all":
            words += ["--weights", folder / "green" / "best.pt"]
        run(*words, "--device", "cpu")
        run("--data", miniature, "export", folder / name / "best.pt")
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def server(root: Path, pair: Path) -> Iterator[Server]:
    flags = ("--engine", "torch", "--device", "cpu")
    checkpoints = ("--detector", pair / "detector" / "checkpoint", "--pose", pair / "all" / "checkpoint")
    running = Server(root, *flags, *map(str, checkpoints))
    yield running
    running.stop()


def test_a_limited_run_says_so_and_starts_from_the_weights_named(pair: Path) -> None:
    content = torch.load(pair / "all" / "final.pt")
    assert (content["recipe"]["limit"], content["recipe"]["epochs"]) == (2, 2)
    assert content["recipe"]["init"] == str(pair / "green" / "best.pt")
    assert content["samples"] == 4  # two pictures, two epochs
    assert content["recipe"]["data"]["versions"] == ["gs", "hom", "sample", "auto"]


def test_cards_carry_the_terms_of_the_data(pair: Path) -> None:
    pose = Checkpoint.load(pair / "all" / "checkpoint", "pose").card
    assert pose.licence == "research only, no commercial use (FreiHAND)"
    assert "Zimmermann" in pose.data[0].remarks
    assert "gs, hom, sample, auto" in pose.data[0].remarks
    measured = {(metric.data, metric.name) for metric in pose.metrics}
    assert {("FreiHAND, evaluation set", "pck_0.2"), ("FreiHAND, training ids held out", "epe")} <= measured

    detector = Checkpoint.load(pair / "detector" / "checkpoint", "detector").card
    assert "none stated by the source" in detector.licence
    assert "EgoHands" in detector.licence
    assert detector.architecture == "fasterrcnn-mobilenet-v3-large-320-fpn"
    assert {metric.data for metric in detector.metrics} == {
        "EgoHands, 4 validation videos",
        "EgoHands, 8 test videos",
    }
    assert not (pair / "detector" / "checkpoint" / "model.onnx").exists()


def test_the_service_answers_with_them(server: Server, miniature: Path) -> None:
    frame = next((miniature / "egohands" / "_LABELLED_SAMPLES").glob("*/frame_*.jpg"))
    with httpx.Client(base_url=server.url, timeout=120) as client:
        assert client.get("/readyz").status_code == 200
        models = client.get("/v1/models").json()
        answer = client.post(
            "/v1/pose?min_score=0",
            content=frame.read_bytes(),
            headers={"Content-Type": "image/jpeg"},
        )
    assert models["pose"]["architecture"] == "unet-16-32-64-128"
    assert models["pose"]["name"] == "reference-pose-all"
    assert models["detector"]["name"] == "reference-detector"
    assert answer.status_code == 200
    assert answer.json()["image"] == {"width": 1280, "height": 720}


def test_a_run_that_is_there_is_not_overwritten(
    pair: Path, miniature: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(miniature), "train", str(pair / "green.toml"), "--to", str(pair / "green")]
    assert main(words) == 1
    assert "holds a run already: add --resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 1  # without --limit it is another recipe
    assert "made by another recipe: epochs, limit, phases differ" in capsys.readouterr().err


def test_the_recipes_that_ship_are_refused_without_their_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data in (("detector", "EgoHands"), ("pose-green", "FreiHAND")):
        words = ["--data", str(tmp_path), "train", str(RECIPES / f"reference-{name}.toml"), "--to"]
        assert main([*words, str(tmp_path / "run")]) == 1
        assert f"it is not the folder of {data}" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused(
    miniature: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    recipe = str(RECIPES / "reference-pose-green.toml")
    words = ["--data", str(miniature), "train", recipe, "--device", "cuda", "--to", str(tmp_path / "run")]
    assert main(words) == 1
    assert "device=cuda: " in capsys.readouterr().err


def test_options_of_train_change_the_recipe() -> None:
    def changed(*words: str) -> Recipe:
        options = parser.parse_args(["train", path, *words])
        return load_recipe(Path(path), recipe_changes(options), options.limit)

    path, parser = str(RECIPES / "reference-detector.toml"), argument_parser()
    recipe = load_recipe(Path(path))
    assert changed() == recipe
    assert changed("--weights", recipe.init) == recipe  # nothing changed, so the remarks hold
    other = changed("--weights", "here.pth")
    assert (other.init, other.init_remarks, other.freeze_norms) == ("here.pth", "", True)
    bare = changed("--weights", "none", "--limit", "3", "--precision", "bfloat16")
    assert (bare.init, bare.frozen, bare.freeze_norms) == ("none", 0, False)  # nothing to keep
    assert (bare.precision, bare.limit, bare.phases[0].batch) == ("bfloat16", 3, 3)
    assert changed("--set", 'precision="float16"', "--precision", "float32").precision == "float32"
