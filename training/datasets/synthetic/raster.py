"""A z-buffer rasteriser and the noise that textures are made of, compiled with numba."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.datasets.synthetic.surfaces import Geometry

FAR = np.float32(1e9)
SAMPLES = 2  # samples per pixel along each axis
NOISE_SIZE = 48
EDGE = -1e-5  # lets neighbouring triangles overlap a hair, so that no seam stays open


@dataclass(frozen=True, eq=False)
class Fragments:
    """What is seen at every sample of a picture of side S pixels (n = SAMPLES * S samples along each axis).

    depth: (n, n) float32, FAR where nothing is. triangle: (n, n) int32, -1 where nothing is.
    weights: (n, n, 2) float32, barycentric coordinates of the triangle's first two corners.
    """

    depth: NDArray[np.float32]
    triangle: NDArray[np.int32]
    weights: NDArray[np.float32]


def rasterise(geometry: Geometry, size: int) -> Fragments:
    """Find the nearest triangle at every sample of a square picture of `size` pixels."""
    side = size * SAMPLES
    depth = np.full((side, side), FAR, np.float32)
    triangle = np.full((side, side), -1, np.int32)
    weights = np.zeros((side, side, 2), np.float32)
    scaled = geometry.vertices * np.array([SAMPLES, SAMPLES, 1], np.float32)
    draw_triangles(scaled, geometry.keep, geometry.triangles, depth, triangle, weights)
    return Fragments(depth, triangle, weights)


@njit(fastmath=True, cache=True)
def draw_triangles(vertices, keep, triangles, depth, triangle, weights):  # type: ignore[no-untyped-def]
    """Draw into the buffers of `Fragments`; vertices (V, 3) are x, y in samples and depth, smaller is nearer.
    Pixels whose interpolated `keep` (V,) is negative are left out."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if keep[a] < 0 and keep[b] < 0 and keep[c] < 0:
            continue
        x0, y0 = vertices[a, 0], vertices[a, 1]
        x1, y1 = vertices[b, 0], vertices[b, 1]
        x2, y2 = vertices[c, 0], vertices[c, 1]
        area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
        if abs(area) < 1e-9:
            continue
        left = max(0, math.ceil(min(x0, x1, x2) - 0.5))
        right = min(width - 1, math.floor(max(x0, x1, x2) - 0.5))
        top = max(0, math.ceil(min(y0, y1, y2) - 0.5))
        bottom = min(height - 1, math.floor(max(y0, y1, y2) - 0.5))
        inverse = 1.0 / area
        u_step, v_step = (y1 - y2) * inverse, (y2 - y0) * inverse
        clipped = keep[a] < 0 or keep[b] < 0 or keep[c] < 0
        for y in range(top, bottom + 1):
            px, py = left + 0.5 - x2, y + 0.5 - y2
            u = ((y1 - y2) * px + (x2 - x1) * py) * inverse
            v = ((y2 - y0) * px + (x0 - x2) * py) * inverse
            for x in range(left, right + 1):
                w = 1.0 - u - v
                if u >= EDGE and v >= EDGE and w >= EDGE:
                    z = u * vertices[a, 2] + v * vertices[b, 2] + w * vertices[c, 2]
                    if z < depth[y, x] and (not clipped or u * keep[a] + v * keep[b] + w * keep[c] >= 0):
                        depth[y, x] = z
                        triangle[y, x] = t
                        weights[y, x, 0] = u
                        weights[y, x, 1] = v
                u += u_step
                v += v_step


@njit(fastmath=True, cache=True)
def resolve(depth, triangle):  # type: ignore[no-untyped-def]
    """From samples to pixels: coverage (S, S) in 0..1, and the flat index (S, S) of the nearest sample, or -1."""
    side = depth.shape[0]
    size = side // SAMPLES
    coverage = np.zeros((size, size), np.float32)
    chosen = np.full((size, size), -1, np.int32)
    for y in range(size):
        for x in range(size):
            count = 0
            nearest = FAR
            for sy in range(y * SAMPLES, (y + 1) * SAMPLES):
                for sx in range(x * SAMPLES, (x + 1) * SAMPLES):
                    if triangle[sy, sx] >= 0:
                        count += 1
                        if depth[sy, sx] < nearest:
                            nearest = depth[sy, sx]
                            chosen[y, x] = sy * side + sx
            coverage[y, x] = count / (SAMPLES * SAMPLES)
    return coverage, chosen


@njit(fastmath=True, cache=True, inline="always")
def lookup(volume, x, y, z):  # type: ignore[no-untyped-def]
    """Trilinear lookup in a periodic volume (n, n, n)."""
    n = volume.shape[0]
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx) % n, int(fy) % n, int(fz) % n
    i1, j1, k1 = (i + 1) % n, (j + 1) % n, (k + 1) % n
    x, y, z = x - fx, y - fy, z - fz
    near = (volume[i, j, k] * (1 - x) + volume[i1, j, k] * x) * (1 - y) + (
        volume[i, j1, k] * (1 - x) + volume[i1, j1, k] * x
    ) * y
    far = (volume[i, j, k1] * (1 - x) + volume[i1, j, k1] * x) * (1 - y) + (
        volume[i, j1, k1] * (1 - x) + volume[i1, j1, k1] * x
    ) * y
    return near * (1 - z) + far * z


def _noise_volume() -> NDArray[np.float32]:
    """A periodic volume (48, 48, 48) of smooth noise on three scales, zero mean, unit deviation, within 2.5."""
    rng = np.random.Generator(np.random.PCG64(20240229))
    volume: NDArray[np.float64] = np.zeros((NOISE_SIZE,) * 3)
    for blur, amount in ((1.0, 0.7), (0.6, 0.5), (2.2, 0.8)):
        octave = gaussian_filter(rng.normal(size=volume.shape), blur, mode="wrap")
        volume += amount * octave / octave.std()
    volume /= volume.std()
    return np.clip(volume, -2.5, 2.5).astype(np.float32)


NOISE = _noise_volume()
