"""EgoHands is read from files in the released formats; what is wrong with one is said by file and record."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from tests.training.datasets.miniature import struct, write_egohands
from training.datasets.coco import DatasetError
from training.datasets.egohands import HEIGHT, POLYGON_FIELDS, WIDTH, EgoHands, polygon_box

TRAIN, VALIDATION = "CARDS_LIVINGROOM_B_T", "CHESS_LIVINGROOM_H_T"
FRAMES = 3


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_egohands(tmp_path_factory.mktemp("egohands"), (TRAIN, VALIDATION), FRAMES)


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "egohands_data"))


def edit(file: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the struct array of a .mat file."""
    value = loadmat(file)[name]
    changed = change(value)
    savemat(file, {name: value if changed is None else changed})


def test_frames_and_boxes_are_read(written):
    data = EgoHands(written)
    assert len(data) == 2 * FRAMES
    picture = data[0]
    assert picture.image.shape == (HEIGHT, WIDTH, 3)
    assert picture.source == "egohands"
    assert picture.group == TRAIN
    assert picture.complete
    assert [entry.video.id for entry in data.entries] == [TRAIN] * FRAMES + [VALIDATION] * FRAMES
    numbers = [entry.number for entry in data.entries[:FRAMES]]
    assert numbers == sorted(numbers)
    boxes = np.array([hand.box for entry in data.entries for hand in entry.hands])
    assert len(boxes) >= FRAMES
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= [WIDTH, HEIGHT]).all()
    assert (boxes[:, 2:] >= 1).all()


def test_hands_are_where_the_boxes_say(written):
    """Rendered skin differs from what is around it: the box's middle from a ring outside the box."""
    data = EgoHands(written)
    differences = []
    for index, entry in enumerate(data.entries):
        image = data[index].image.astype(float)
        for hand in entry.hands:
            x, y, width, height = hand.box.astype(int)
            middle = image[y + height // 3 : y + 2 * height // 3, x + width // 3 : x + 2 * width // 3]
            above = image[max(0, y - height // 2) : max(1, y - height // 8), x : x + width]
            differences.append(np.abs(middle.mean((0, 1)) - above.mean((0, 1))).max())
    assert np.median(differences) > 15


def test_whose_hand_and_which_hand_are_kept(copy):
    polygon = np.array([[100.0, 200], [150, 200], [150, 260]])

    def one_of_each(video):
        frame = video[0, 0]["labelled_frames"][0, 0]
        for index, field in enumerate(POLYGON_FIELDS):
            frame[field] = polygon + np.array([200 * index, 0])

    edit(copy / "metadata.mat", "video", one_of_each)
    entry = EgoHands(copy).entries[0]
    found = [(hand.owner, hand.label.handedness) for hand in entry.ego_hands]
    assert found == [("own", "left"), ("own", "right"), ("other", "left"), ("other", "right")]
    np.testing.assert_allclose(entry.ego_hands[1].polygon, polygon + np.array([199.5, -0.5]))
    # Pixels 100 to 150 of MATLAB, both included, span 99 to 150 here.
    np.testing.assert_allclose(entry.hands[0].box, [99, 199, 51, 61])


def test_the_video_is_described(written):
    video = EgoHands(written).entries[0].video
    assert video.partner_video == "CARDS_LIVINGROOM_T_B"
    assert (video.viewer, video.partner) == ("B", "T")
    assert (video.location, video.activity) == ("LIVINGROOM", "CARDS")


def test_the_plain_view_has_the_usual_names(written):
    data = EgoHands(written)
    for index, entry in enumerate(data.entries):
        plain = data.plain(index)
        assert set(plain) == {"boxes", "video_name", "frame_num"}
        assert plain["boxes"].shape == (len(entry.hands), 4)
        assert plain["boxes"].dtype == np.float32
        assert entry.path.name == f"frame_{plain['frame_num']:04d}.jpg"
        assert entry.path.parent.name == plain["video_name"]


def test_polygon_files_say_the_same_as_the_metadata(written, copy):
    (copy / "metadata.mat").unlink()
    ours, theirs = EgoHands(copy).entries, EgoHands(written).entries
    assert [entry.video for entry in ours] == [entry.video for entry in theirs]
    assert [entry.number for entry in ours] == [entry.number for entry in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert [h.handedness for h in a.hands] == [h.handedness for h in b.hands]
        np.testing.assert_array_equal(np.array([h.box for h in a.hands]), np.array([h.box for h in b.hands]))


def test_a_split_has_its_own_videos_only(written):
    assert {entry.video.id for entry in EgoHands(written, "train").entries} == {TRAIN}
    assert {entry.video.id for entry in EgoHands(written, "validation").entries} == {VALIDATION}
    with pytest.raises(DatasetError, match="no frame of the test videos"):
        EgoHands(written, "test")


def test_it_is_found_in_the_folder_it_was_fetched_to(copy):
    assert len(EgoHands(copy.parent)) == 2 * FRAMES
    with pytest.raises(DatasetError, match="has no _LABELLED_SAMPLES"):
        EgoHands(copy / "_LABELLED_SAMPLES" / TRAIN)


@pytest.mark.parametrize(
    ("polygon", "box"),
    [
        ([[1, 1], [1280, 720]], [0, 0, 1280, 720]),  # MATLAB's corners
        ([[-40, 700], [10, 900]], [0, 699, 10, 21]),  # clamped at the left and below
        ([[300, 400]], [299, 399, 1, 1]),  # a single point
        ([[1280.4, 5], [1300, 9]], [1279, 4, 1, 5]),  # hardly inside: one pixel is kept
        ([[0.2, 720.9], [0.9, 721]], [0, 719, 1, 1]),
    ],
)
def test_boxes_are_clamped_and_at_least_a_pixel(polygon, box):
    found = polygon_box(np.array(polygon, np.float64) - 0.5)
    assert found is not None
    np.testing.assert_allclose(found, box, atol=1e-4)


@pytest.mark.parametrize("polygon", [[[1282, 5], [1300, 9]], [[5, -9], [6, -1]], [[-50, 2], [0, 9]]])
def test_a_polygon_outside_has_no_box(polygon):
    assert polygon_box(np.array(polygon, np.float64) - 0.5) is None


def change_polygon(value: Any, field: str = "yourright") -> Callable[[Any], None]:
    def change(video):
        video[0, 1]["labelled_frames"][0, 2][field] = value

    return change


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([[2000.0, 5], [2010, 9]]), "yourright lies outside the 1280 × 720 frame"),
        (np.array([[1.0, 5, 3], [2010, 9, 3]]), "yourright is not K × 2 finite numbers"),
        (np.array([[1.0, np.nan], [20, 9]]), "yourright is not K × 2 finite numbers"),
        (np.array(["polygon"]), "yourright is not K × 2 finite numbers"),
    ],
)
def test_a_bad_polygon_is_named_by_video_and_frame(copy, value, message):
    number = EgoHands(copy).entries[FRAMES + 2].number
    edit(copy / "metadata.mat", "video", change_polygon(value))
    with pytest.raises(DatasetError, match=rf"metadata\.mat: {VALIDATION}: frame {number}: {message}"):
        EgoHands(copy)


def test_a_bad_polygon_in_a_polygon_file_is_named_by_picture(copy):
    (copy / "metadata.mat").unlink()
    file = copy / "_LABELLED_SAMPLES" / TRAIN / "polygons.mat"

    def change(polygons):
        polygons[0, 1]["myleft"] = np.array([[5.0, 900], [6, 910]])

    name = EgoHands(copy).entries[1].path.name
    edit(file, "polygons", change)
    with pytest.raises(DatasetError, match=rf"{TRAIN}/polygons\.mat: {name}: myleft lies outside"):
        EgoHands(copy)


def test_a_missing_frame_is_named(copy):
    entry = EgoHands(copy).entries[1]
    entry.path.unlink()
    with pytest.raises(DatasetError, match=rf"{TRAIN}: frame {entry.number}: .* has no such frame"):
        EgoHands(copy)
    assert len(EgoHands(copy, "validation")) == FRAMES  # the other videos are whole
    (copy / "metadata.mat").unlink()
    with pytest.raises(DatasetError, match=r"polygons\.mat has 3 records, but there are 2 frames"):
        EgoHands(copy)


def test_a_missing_video_folder_is_named(copy):
    shutil.rmtree(copy / "_LABELLED_SAMPLES" / VALIDATION)
    with pytest.raises(DatasetError, match=rf"metadata\.mat: {VALIDATION}: .* does not exist"):
        EgoHands(copy)


def test_a_video_of_another_data_set_is_named(copy):
    def change(video):
        video[0, 0]["video_id"] = "CARDS_KITCHEN_B_T"

    edit(copy / "metadata.mat", "video", change)
    with pytest.raises(DatasetError, match=r"metadata\.mat: CARDS_KITCHEN_B_T: .* none of the 48 videos"):
        EgoHands(copy)


def test_missing_fields_are_named(copy):
    def change(video):
        fields = tuple(name for name in video.dtype.names if name != "activity_id")
        return struct([{field: record[field] for field in fields} for record in video[0]], fields)

    edit(copy / "metadata.mat", "video", change)
    with pytest.raises(DatasetError, match=r"metadata\.mat: video has no field activity_id"):
        EgoHands(copy)


def test_a_frame_number_that_is_none_is_named(copy):
    def change(video):
        video[0, 1]["labelled_frames"][0, 0]["frame_num"] = "eleven"

    edit(copy / "metadata.mat", "video", change)
    with pytest.raises(DatasetError, match=rf"{VALIDATION}: frame_num is no single number"):
        EgoHands(copy)


def test_files_that_cannot_be_read_are_named(copy):
    metadata = copy / "metadata.mat"
    metadata.write_bytes(metadata.read_bytes()[:-500])
    with pytest.raises(DatasetError, match=r"metadata\.mat: this is no MATLAB file, or it is cut short"):
        EgoHands(copy)
    metadata.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DatasetError, match=r"metadata\.mat: .* version 7\.3"):
        EgoHands(copy)
    metadata.unlink()
    (copy / "_LABELLED_SAMPLES" / TRAIN / "polygons.mat").unlink()
    with pytest.raises(DatasetError, match=rf"{TRAIN}/polygons\.mat: the file does not exist"):
        EgoHands(copy)


def test_a_picture_that_does_not_fit_is_named(copy):
    data = EgoHands(copy)
    path = data.entries[0].path
    cv2.imwrite(str(path), np.zeros((360, 640, 3), np.uint8))
    with pytest.raises(DatasetError, match=rf"{path.name} is 640 × 360"):
        data[0]
    path.write_bytes(b"hello")
    with pytest.raises(DatasetError, match=rf"{path.name} is missing or no picture"):
        data[0]
