"""Figures of keypoints: PCK and its curve and area, end-point error, joint by joint."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.models.keypoints import KEYPOINT_NAMES
from training.metrics import pck, pck_auc

AUC_LIMIT = 0.5  # of the hand's size
AUC_PIXELS = 30.0


@dataclass(frozen=True)
class JointFigures:
    """Figures of one keypoint over all hands in which it is labelled; NaN where there is none.

    epe, epe_median: distance in pixels, mean and median. error: mean of the distance over the hand's size.
    """

    name: str
    labelled: int
    pck_01: float
    pck_02: float
    auc: float
    auc_30px: float
    epe: float
    epe_median: float
    error: float


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """How far N hands' keypoints are from the truth.

    pixels: (N, 21) float64 distances in pixels of the photo, at the scale the data set has; inf for a hand that was not
    found. sides: (N,) the larger side of each hand's tight box in the same pixels, what errors are normalised by.
    labelled: (N, 21) bool, False where the truth is not known; those keypoints count nowhere.

    Raises ValueError for other shapes, or a side that is not positive.
    """

    pixels: NDArray[np.float64]
    sides: NDArray[np.float64]
    labelled: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.sides), len(KEYPOINT_NAMES))
        if self.pixels.shape != shape or self.labelled.shape != shape:
            raise ValueError(f"expected shapes {shape}, not {self.pixels.shape} and {self.labelled.shape}")
        if not (self.sides > 0).all():
            raise ValueError("a hand's side is not positive")

    @classmethod
    def of(
        cls,
        predicted: NDArray[np.floating],
        truth: NDArray[np.floating],
        sides: NDArray[np.floating],
        labelled: NDArray[np.bool_],
    ) -> "PoseErrors":
        """predicted, truth: (N, 21, 2) pixels of the photo; inf where a hand was not found."""
        pixels = np.linalg.norm(predicted.astype(np.float64) - truth, axis=2)
        return cls(pixels, sides.astype(np.float64), labelled)

    @property
    def normalised(self) -> NDArray[np.float64]:
        """(N, 21) distances over the larger side of the hand's tight box."""
        return self.pixels / self.sides[:, None]

    def joint(self, index: int | None = None) -> JointFigures:
        """The figures of one keypoint, or of all together for None."""
        where = self.labelled if index is None else self.labelled[:, index]
        pixels = (self.pixels if index is None else self.pixels[:, index])[where]
        shares = (self.normalised if index is None else self.normalised[:, index])[where]
        name = "all" if index is None else KEYPOINT_NAMES[index]
        if not pixels.size:
            return JointFigures(name, 0, *([float("nan")] * 7))
        return JointFigures(
            name,
            int(pixels.size),
            pck(shares, 0.1),
            pck(shares, 0.2),
            pck_auc(shares, AUC_LIMIT),
            pck_auc(pixels, AUC_PIXELS),
            float(pixels.mean()),
            float(np.median(pixels)),
            float(shares.mean()),
        )

    def joints(self) -> tuple[JointFigures, ...]:
        """The figures of each of the 21 keypoints."""
        return tuple(self.joint(index) for index in range(len(KEYPOINT_NAMES)))

    def curve(self, thresholds: NDArray[np.floating], in_pixels: bool = False) -> NDArray[np.float64]:
        """PCK at each threshold (T,), in shares of the hand's size or in pixels: (T,)."""
        errors = (self.pixels if in_pixels else self.normalised)[self.labelled]
        return np.array([pck(errors, float(threshold)) for threshold in thresholds])
