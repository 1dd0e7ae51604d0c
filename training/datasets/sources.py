"""Where the public data sets come from and on what terms; the terms go into the card of every checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Archive:
    """One zip file of a data set.

    file: the name it is kept under. folder: where it is unpacked. urls: addresses, tried in this order.
    holds: paths that must exist in `folder` once it is unpacked. download: its size, for the notice alone.
    sha256: as published by the source; None where the source publishes none.
    """

    file: str
    folder: str
    urls: tuple[str, ...]
    holds: tuple[str, ...]
    download: str
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set: its name, its terms and its archives."""

    key: str
    name: str
    licence: str
    notice: str
    citation: str
    page: str
    archives: tuple[Archive, ...]

    def card(self, images: int | None = None, remarks: str = "") -> dict[str, Any]:
        """What a checkpoint's card says of this data set: the fields of `service.models.checkpoint.DataSource`."""
        return {
            "name": f"{self.name} ({self.page})",
            "licence": self.licence,
            "images": images,
            "remarks": " ".join(part for part in (self.citation, remarks) if part),
        }


_EGOHANDS_ZIP = "vision.soic.indiana.edu/egohands_files/egohands_data.zip"
_FREIHAND_FILES = "https://lmb.informatik.uni-freiburg.de/data/freihand"

EGOHANDS = Source(
    key="egohands",
    name="EgoHands",
    licence="none stated by the source; for research, with citation",
    notice=(
        "EgoHands shows four people in 48 first-person videos, recorded at Indiana University. The release comes "
        "without a licence text: nothing grants commercial use. Use it for research and cite the paper; ask the "
        "authors about anything else."
    ),
    citation=(
        "S. Bambach, S. Lee, D. Crandall, C. Yu: Lending A Hand: Detecting Hands and Recognizing Activities in "
        "Complex Egocentric Interactions, ICCV 2015."
    ),
    page="http://vision.soic.indiana.edu/projects/egohands/",
    archives=(
        Archive(
            file="egohands_data.zip",
            folder="egohands_data",
            # The university's address is reported to be gone; the other is the Internet Archive's copy of it.
            urls=(
                f"https://{_EGOHANDS_ZIP}",
                f"https://web.archive.org/web/20200713164330id_/http://{_EGOHANDS_ZIP}",
            ),
            holds=("_LABELLED_SAMPLES", "metadata.mat"),
            download="1.3 GB",
        ),
    ),
)

FREIHAND = Source(
    key="freihand",
    name="FreiHAND",
    licence="research only, no commercial use",
    notice=(
        "FreiHAND is provided for research purposes only and without any warranty; any commercial use is prohibited. "
        "We hold weights trained on it to the same terms, and their card says so. Cite the paper."
    ),
    citation=(
        "C. Zimmermann, D. Ceylan, J. Yang, B. Russell, M. Argus, T. Brox: FreiHAND: A Dataset for Markerless Capture "
        "of Hand Pose and Shape from Single RGB Images, ICCV 2019."
    ),
    page="https://lmb.informatik.uni-freiburg.de/projects/freihand/",
    archives=(
        Archive(
            file="FreiHAND_pub_v2.zip",
            folder="FreiHAND_pub_v2",
            urls=(f"{_FREIHAND_FILES}/FreiHAND_pub_v2.zip",),
            holds=("training/rgb", "training_K.json", "training_xyz.json", "training_scale.json"),
            download="3.7 GB",
        ),
        Archive(
            file="FreiHAND_pub_v2_eval.zip",
            folder="FreiHAND_pub_v2_eval",
            urls=(f"{_FREIHAND_FILES}/FreiHAND_pub_v2_eval.zip",),
            holds=("evaluation/rgb", "evaluation_K.json", "evaluation_xyz.json", "evaluation_scale.json"),
            download="0.7 GB",
        ),
    ),
)

SOURCES: dict[str, Source] = {source.key: source for source in (EGOHANDS, FREIHAND)}


def locate(root: Path, needed: str, folders: tuple[str, ...]) -> Path | None:
    """The first folder that has `needed` in it: `root`, or one of `folders` in it; None if there is none.

    An archive unpacked by hand may lie in a folder of its own name inside that folder; that is looked into too.
    """
    candidates = [root, *(root / name for name in folders), *(root / name / name for name in folders)]
    return next((folder for folder in candidates if (folder / needed).exists()), None)
