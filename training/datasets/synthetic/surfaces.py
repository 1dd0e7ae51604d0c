"""What a renderer draws: surfaces (how things look) and parts (triangles that carry a surface)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# One row per surface, read by the shading kernel. Colours are linear RGB albedo in 0..1.
SURFACE = np.dtype(
    [
        ("skin", np.int32),  # 1: skin with creases, knuckles and nails; 0: a plain, patterned material
        ("colour", np.float32, (3,)),
        ("palm", np.float32, (3,)),  # skin: colour of the palm
        ("flush", np.float32, (3,)),  # skin: colour that knuckles and fingertips tend to
        ("nail", np.float32, (3,)),
        ("texture", np.float32),  # skin: strength of blotches and creases
        ("coarse", np.float32),  # plain: strength of coarse noise, fine noise and stripes
        ("fine", np.float32),
        ("stripes", np.float32),
        ("stripe_wave", np.float32, (3,)),  # radians per unit of texture space
        ("specular", np.float32),
        ("gloss", np.float32),  # exponent of the highlight
        ("ring_finger", np.int32),  # 0 to 4, or -1 for no ring
        ("ring_start", np.float32),  # along the first phalanx, 0..1
        (
            "band_start",
            np.float32,
        ),  # along the forearm, 0 wrist to 1 elbow; band_end <= band_start: no bracelet
        ("band_end", np.float32),
        ("metal", np.float32, (3,)),  # colour of ring and bracelet
    ],
    align=True,
)


@dataclass(frozen=True, eq=False)
class Part:
    """Triangles with one surface, in whatever frame its vertices are in. V vertices, T triangles.

    vertices, normals, texture: (V, 3). triangles: (T, 3). surface: one SURFACE record. owner: the number of the hand
    that it is the skin (or glove) of, or -1. keep: (V,), drawn where its interpolated value is not negative.
    palmar, finger, along_arm: (V,) as in HandMesh; zeros, -1 and zeros for things that are not hands.
    """

    vertices: Array
    normals: Array
    texture: Array
    triangles: NDArray[np.int32]
    surface: np.void
    owner: int = -1
    keep: Array | None = None
    palmar: Array | None = None
    finger: NDArray[np.int32] | None = None
    along_arm: Array | None = None

    def moved(self, vertices: Array, normals: Array) -> "Part":
        """The same part with its vertices and normals elsewhere."""
        return replace(self, vertices=vertices, normals=normals)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Parts put together for the kernels, in image space: x and y in pixels, z (depth) in pixels, away from the
    camera. Normals are in the camera frame (x right, y down, z away)."""

    vertices: NDArray[np.float32]  # (V, 3)
    normals: NDArray[np.float32]  # (V, 3)
    texture: NDArray[np.float32]  # (V, 3)
    keep: NDArray[np.float32]  # (V,)
    palmar: NDArray[np.float32]  # (V,)
    along_arm: NDArray[np.float32]  # (V,)
    finger: NDArray[np.int32]  # (V,)
    triangles: NDArray[np.int32]  # (T, 3)
    part: NDArray[np.int32]  # (T,), row of `surfaces`
    surfaces: NDArray[np.void]  # (parts,)
    owners: NDArray[np.int32]  # (parts,)


def join(parts: Sequence[Part]) -> Geometry:
    """Put parts together; at least one."""
    counts = [len(part.vertices) for part in parts]
    starts = np.cumsum([0, *counts[:-1]])

    def gathered(name: str, default: float) -> NDArray[np.float32]:
        values = [getattr(part, name) for part in parts]
        full = [np.full(n, default) if v is None else v for v, n in zip(values, counts, strict=True)]
        return np.concatenate(full).astype(np.float32)

    return Geometry(
        vertices=np.concatenate([part.vertices for part in parts]).astype(np.float32),
        normals=np.concatenate([part.normals for part in parts]).astype(np.float32),
        texture=np.concatenate([part.texture for part in parts]).astype(np.float32),
        keep=gathered("keep", 1.0),
        palmar=gathered("palmar", 0.0),
        along_arm=gathered("along_arm", 0.0),
        finger=gathered("finger", -1).astype(np.int32),
        triangles=np.concatenate(
            [part.triangles + start for part, start in zip(parts, starts, strict=True)]
        ).astype(np.int32),
        part=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.triangles) for part in parts]),
        surfaces=np.array([part.surface for part in parts], dtype=SURFACE),
        owners=np.array([part.owner for part in parts], np.int32),
    )
