"""The 48 videos of EgoHands and a fixed split of them.

A video's name is ACTIVITY_LOCATION_VIEWER_PARTNER: four activities at three places, each played by two pairs of the
four people B, H, S and T, and each game seen through the glasses of both players. So the 48 videos are 24 games, and
the two videos of one game show the same hands at the same time. The split keeps them together: 18 games are for
training, 2 for validation, 4 for the test: 36, 4 and 8 videos. The authors' main split has the same sizes, but which
videos are in it was not to be had when this list was made, so this split is our own and its figures do not compare
with published ones. The test has each activity once and each person twice, validation has each person once. No split
of these videos tells how a detector does on new people, as the same four play throughout.
"""

from itertools import permutations
from typing import Literal

Split = Literal["train", "validation", "test"]

# activity, place: the pairs that played there
_GAMES = {
    ("CARDS", "COURTYARD"): ("BT", "HS"),
    ("CARDS", "LIVINGROOM"): ("BT", "HS"),
    ("CARDS", "OFFICE"): ("BS", "HT"),
    ("CHESS", "COURTYARD"): ("BT", "HS"),
    ("CHESS", "LIVINGROOM"): ("BS", "HT"),
    ("CHESS", "OFFICE"): ("BS", "HT"),
    ("JENGA", "COURTYARD"): ("BH", "ST"),
    ("JENGA", "LIVINGROOM"): ("BH", "ST"),
    ("JENGA", "OFFICE"): ("BS", "HT"),
    ("PUZZLE", "COURTYARD"): ("BS", "HT"),
    ("PUZZLE", "LIVINGROOM"): ("BT", "HS"),
    ("PUZZLE", "OFFICE"): ("BH", "ST"),
}

VIDEOS: tuple[str, ...] = tuple(
    sorted(
        f"{activity}_{place}_{viewer}_{partner}"
        for (activity, place), pairs in _GAMES.items()
        for pair in pairs
        for viewer, partner in permutations(pair, 2)
    )
)

_VALIDATION = (
    "CHESS_LIVINGROOM_H_T",
    "CHESS_LIVINGROOM_T_H",
    "PUZZLE_COURTYARD_B_S",
    "PUZZLE_COURTYARD_S_B",
)
_TEST = (
    "CARDS_COURTYARD_B_T",
    "CARDS_COURTYARD_T_B",
    "CHESS_OFFICE_B_S",
    "CHESS_OFFICE_S_B",
    "JENGA_OFFICE_H_T",
    "JENGA_OFFICE_T_H",
    "PUZZLE_LIVINGROOM_H_S",
    "PUZZLE_LIVINGROOM_S_H",
)

SPLITS: dict[Split, tuple[str, ...]] = {
    "train": tuple(video for video in VIDEOS if video not in (*_VALIDATION, *_TEST)),
    "validation": _VALIDATION,
    "test": _TEST,
}
