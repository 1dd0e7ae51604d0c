import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import cv2
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from service.models.unet import HandUNet
from tests.training.reference_recipes import small_pose
from training.photo_sets import own_photo_sets, photo_sets
from training.report import write_report
from training.runs import load_run


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(root: Path, miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a U-Net's run of three evaluations, and of the detector that ships."""
    run = tmp_path_factory.mktemp("runs") / "unet"
    recipe = small_pose(data={"root": "freihand"}).changed(name="<unet> & co")
    torch.manual_seed(0)
    with SummaryWriter(str(run)) as board:
        for step, loss in ((50, 0.9), (100, 0.7), (150, 0.6)):
            board.add_scalar("train/loss", loss, step)
            board.add_scalar("train/learning_rate", 0.01 * loss, step)
            board.add_scalar("validation/pck_0.1", 1 - loss, step)
    content = {"state": HandUNet().state_dict(), "samples": 1200, "metrics": {"pck_0.1": 0.3}}
    torch.save({**content, "recipe": recipe.model_dump(mode="json")}, run / "best.pt")
    unet, detector = load_run(run), load_run(root / "service" / "weights" / "detector")
    target = tmp_path_factory.mktemp("report")
    labels = photo_sets([root / "tests" / "photos" / "labels.json"])
    page = write_report([(unet, own_photo_sets(unet.recipe, miniature)), (detector, labels)], target)
    assert page == target / "index.html"
    return target


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text())


def test_everything_people_expect_is_drawn(folder: Path) -> None:
    unet, detector = sorted(path for path in folder.iterdir() if path.is_dir())
    curves = ["learning-rate", "losses", "validation"]
    pose = ["pck", "heatmaps", "skeletons"]
    assert {p.stem for p in unet.glob("*.png")} >= {
        *curves,
        *(f"freihand-evaluation-{name}" for name in pose),
    }
    assert {p.stem for p in detector.glob("*.png")} >= {"labels-precision-recall", "labels-detections"}
    for picture in folder.glob("*/*.png"):
        assert cv2.imread(str(picture)).std() > 5, picture


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    addresses = [
        a.get("src") or a.get("srcset")
        for tag in ("img", "source", "script", "iframe")
        for a in page.all(tag)
    ]
    assert addresses
    assert all(address and address.startswith("data:image/") for address in addresses)
    assert not page.all("link")
    targets = [a["href"] for a in page.all("a")]
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(target).removeprefix("#") for target in targets} <= set(ids)


def test_the_page_can_be_read_by_everyone(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert all(image["alt"] and image["width"] and image["height"] for image in page.all("img"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert {cell.get("scope") for cell in page.all("th")} == {"col", "row"}


def test_tables_recipe_and_card_are_there(page: Page) -> None:
    assert "Training report: 2 runs" in page.text
    for words in (
        "pinky_tip",
        "AUC 0–30 px",
        "AP75",
        "tiny: 0% to 8%",
        "loss.weight.dice",
        "Trained on",
        "sha256",
    ):
        assert words in page.text, words
    # Names are text, not markup.
    assert "<unet> & co" in page.text
    assert not page.all("unet")


def test_a_checkpoint_folder_has_no_curves_to_draw(root: Path, tmp_path: Path) -> None:
    detector = load_run(root / "service" / "weights" / "detector")
    write_report([(detector, photo_sets([root / "tests" / "photos" / "labels.json"], limit=1))], tmp_path)
    assert not (tmp_path / detector.name / "learning-rate.png").exists()
    assert f"{detector.name}: training report" in Page((tmp_path / "index.html").read_text()).text


def test_photos_that_cannot_judge_a_run_are_refused(root: Path, miniature: Path, tmp_path: Path) -> None:
    detector = load_run(root / "service" / "weights" / "detector")
    with pytest.raises(ValueError, match="no photos to judge the detector"):
        write_report([(detector, photo_sets(freihand=miniature / "freihand"))], tmp_path)
    with pytest.raises(ValueError, match="no run to report"):
        write_report([], tmp_path)
