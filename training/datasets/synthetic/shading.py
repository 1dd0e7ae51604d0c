"""Light and colour: turns the fragments of a picture into RGB with coverage."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from training.datasets.synthetic.mesh import hand_mesh
from training.datasets.synthetic.raster import FAR, NOISE, SAMPLES, Fragments, draw_triangles, lookup, resolve
from training.datasets.synthetic.surfaces import Geometry
from training.datasets.synthetic.vectors import Array, unit

SHADOW_MAP_SIDE = 192


@dataclass(frozen=True, eq=False)
class Lighting:
    """Two lamps far away and the light from all around, in the camera frame (x right, y down, z away).

    directions: (2, 3), unit vectors towards the lamps; the first one casts shadows. colours: (2, 3), linear RGB.
    above, below: (3,), ambient light from the upper and the lower half of the world. shadow: 0..1, how dark the first
    lamp's shadows are. exposure: factor on everything.
    """

    directions: Array
    colours: Array
    above: Array
    below: Array
    shadow: float
    exposure: float


@dataclass(frozen=True, eq=False)
class Rendering:
    """A square picture of side S: colour (S, S, 3) float32 in 0..1, display (gamma) encoded, not multiplied by
    coverage; coverage (S, S) float32 in 0..1."""

    colour: NDArray[np.float32]
    coverage: NDArray[np.float32]


def shade(geometry: Geometry, fragments: Fragments, lighting: Lighting, occlusion_radius: float) -> Rendering:
    """Colour every pixel that something covers. `occlusion_radius`, in pixels, is how far ambient occlusion reaches:
    about a thirteenth of a hand."""
    coverage, chosen = resolve(fragments.depth, fragments.triangle)
    occlusion = _ambient_occlusion(fragments.depth, coverage, chosen, occlusion_radius)
    shadow_depth, shadow_matrix, bias = _shadow_map(geometry, lighting.directions[0])
    colour = np.zeros((*coverage.shape, 3), np.float32)
    _shade_pixels(
        chosen,
        fragments.depth.ravel(),
        fragments.triangle.ravel(),
        fragments.weights.reshape(-1, 2),
        occlusion,
        geometry.triangles,
        geometry.part,
        geometry.normals,
        geometry.texture,
        geometry.palmar,
        geometry.along_arm,
        geometry.finger,
        geometry.surfaces,
        hand_mesh().texture_joints,
        lighting.directions,
        lighting.colours,
        lighting.above,
        lighting.below,
        lighting.shadow,
        lighting.exposure,
        shadow_depth,
        shadow_matrix,
        bias,
        NOISE,
        colour,
    )
    return Rendering(colour, coverage)


def _ambient_occlusion(
    depth: NDArray[np.float32], coverage: NDArray[np.float32], chosen: NDArray[np.int32], radius: float
) -> NDArray[np.float32]:
    """How open each pixel is (S, S), 0.35 to 1: darker where it lies deeper than its surroundings."""
    size = len(coverage)
    mask = chosen >= 0
    pixel_depth = np.where(mask, depth.ravel()[chosen], 0).astype(np.float32)
    small = (max(size // 4, 1),) * 2
    mass = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(pixel_depth, small, interpolation=cv2.INTER_AREA)
    sigma = max(radius / 4, 0.3)
    mean = cv2.GaussianBlur(mean, (0, 0), sigma) / (cv2.GaussianBlur(mass, (0, 0), sigma) + 1e-3)
    deeper = np.maximum(0, pixel_depth - cv2.resize(mean, (size, size)))
    openness: NDArray[np.float32] = 1 - deeper / (2 * radius)
    return np.clip(openness, 0.35, 1).astype(np.float32)


def _shadow_map(geometry: Geometry, direction: Array) -> tuple[NDArray[np.float32], Array, float]:
    """Depth seen from a lamp (n, n), the matrix (3, 4) from image space into that map, and a depth bias."""
    ahead = -direction
    across = unit(np.cross(ahead, [0.3, 1.0, 0.2]))
    axes = np.stack([across, np.cross(ahead, across), ahead])
    seen = geometry.vertices @ axes.T
    low = seen.min(axis=0)
    extent = float((seen.max(axis=0) - low)[:2].max()) + 1e-6
    scale = (SHADOW_MAP_SIDE - 2) / extent
    seen[:, :2] = (seen[:, :2] - low[:2]) * scale + 1
    shape = (SHADOW_MAP_SIDE, SHADOW_MAP_SIDE)
    depth = np.full(shape, FAR, np.float32)
    unused = np.empty(shape, np.int32), np.empty((*shape, 2), np.float32)
    draw_triangles(seen.astype(np.float32), geometry.keep, geometry.triangles, depth, *unused)
    matrix = np.zeros((3, 4))
    matrix[:2, :3] = axes[:2] * scale
    matrix[:2, 3] = 1 - low[:2] * scale
    matrix[2, :3] = axes[2]
    return depth, matrix, 0.02 * extent


@njit(fastmath=True, cache=True)
def _shade_pixels(  # type: ignore[no-untyped-def]
    chosen,
    depths,
    fragment_triangles,
    fragment_weights,
    occlusion,
    triangles,
    parts,
    normals,
    textures,
    palmars,
    along_arms,
    fingers,
    surfaces,
    joints,
    lamp_directions,
    lamp_colours,
    above,
    below,
    shadow,
    exposure,
    shadow_depth,
    shadow_matrix,
    bias,
    noise,
    out,
):
    """Fill out (S, S, 3) where chosen (S, S) is not -1."""
    albedo = np.zeros(5)  # red, green, blue, specular strength, gloss
    light = np.zeros(3)
    size = chosen.shape[0]
    side = size * SAMPLES
    for y in range(size):
        for x in range(size):
            sample = chosen[y, x]
            if sample < 0:
                continue
            t = fragment_triangles[sample]
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v = fragment_weights[sample, 0], fragment_weights[sample, 1]
            w = 1.0 - u - v
            nx = normals[a, 0] * u + normals[b, 0] * v + normals[c, 0] * w
            ny = normals[a, 1] * u + normals[b, 1] * v + normals[c, 1] * w
            nz = normals[a, 2] * u + normals[b, 2] * v + normals[c, 2] * w
            tx = textures[a, 0] * u + textures[b, 0] * v + textures[c, 0] * w
            ty = textures[a, 1] * u + textures[b, 1] * v + textures[c, 1] * w
            tz = textures[a, 2] * u + textures[b, 2] * v + textures[c, 2] * w
            surface = surfaces[parts[t]]
            if surface.skin == 1:
                palmar = palmars[a] * u + palmars[b] * v + palmars[c] * w
                arm = along_arms[a] * u + along_arms[b] * v + along_arms[c] * w
                _skin(surface, noise, joints, tx, ty, tz, palmar, arm, fingers[a], albedo)
                roughness = 0.10 * surface.texture
            else:
                coarse, fine = (
                    lookup(noise, tx * 25, ty * 25, tz * 25),
                    lookup(noise, tx * 90, ty * 90, tz * 90),
                )
                wave = surface.stripe_wave
                stripes = math.sin(tx * wave[0] + ty * wave[1] + tz * wave[2])
                shade_of = 1 + surface.coarse * coarse + surface.fine * fine + surface.stripes * stripes
                for channel in range(3):
                    albedo[channel] = surface.colour[channel] * shade_of
                albedo[3], albedo[4] = surface.specular, surface.gloss
                roughness = 0.3 * surface.fine
            nx += roughness * lookup(noise, tx * 55 + 11, ty * 55, tz * 55)
            ny += roughness * lookup(noise, tx * 55, ty * 55 + 23, tz * 55)
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / length, ny / length, nz / length
            if nz > 0:
                nz = -nz  # what is seen faces the camera

            up = 0.5 - 0.5 * ny
            for channel in range(3):
                light[channel] = (above[channel] * up + below[channel] * (1 - up)) * occlusion[y, x]
            highlight = 0.0
            for lamp in range(lamp_directions.shape[0]):
                lx, ly, lz = lamp_directions[lamp, 0], lamp_directions[lamp, 1], lamp_directions[lamp, 2]
                facing = nx * lx + ny * ly + nz * lz
                lit = 1.0
                if lamp == 0:
                    px, py = (sample % side + 0.5) / SAMPLES, (sample // side + 0.5) / SAMPLES
                    lit = 1 - shadow * _shadowed(px, py, depths[sample], shadow_depth, shadow_matrix, bias)
                # Light that enters skin leaves it some way off, red the furthest: it wraps around the edge of a shadow.
                if surface.skin == 1:
                    red, green, blue = (facing + 0.3) / 1.3, (facing + 0.15) / 1.15, (facing + 0.1) / 1.1
                else:
                    red, green, blue = facing, facing, facing
                light[0] += lamp_colours[lamp, 0] * max(0.0, red) * lit
                light[1] += lamp_colours[lamp, 1] * max(0.0, green) * lit
                light[2] += lamp_colours[lamp, 2] * max(0.0, blue) * lit
                hz = lz - 1.0
                half = math.sqrt(lx * lx + ly * ly + hz * hz) + 1e-9
                glance = max(0.0, (nx * lx + ny * ly + nz * hz) / half)
                highlight += albedo[3] * glance ** albedo[4] * lit * lamp_colours[lamp, 1]
            for channel in range(3):
                value = (albedo[channel] * light[channel] + highlight) * exposure
                out[y, x, channel] = min(1.0, max(0.0, value)) ** (1 / 2.2)


@njit(fastmath=True, cache=True)
def _shadowed(x, y, z, shadow_depth, matrix, bias):  # type: ignore[no-untyped-def]
    """The share of 3 x 3 shadow map cells that lie nearer to the lamp than this point of image space."""
    side = shadow_depth.shape[0]
    column = int(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3])
    row = int(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3])
    distance = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z - bias
    count = 0
    hidden = 0
    for r in range(max(0, row - 1), min(side, row + 2)):
        for c in range(max(0, column - 1), min(side, column + 2)):
            count += 1
            if shadow_depth[r, c] < distance:
                hidden += 1
    return hidden / count if count > 0 else 0.0


@njit(fastmath=True, cache=True)
def _blend(albedo, colour, amount):  # type: ignore[no-untyped-def]
    for channel in range(3):
        albedo[channel] += (colour[channel] - albedo[channel]) * amount


@njit(fastmath=True, cache=True)
def _skin(surface, noise, joints, x, y, z, palmar, arm, finger, albedo):  # type: ignore[no-untyped-def]
    """Albedo of skin at a place of the hand at rest: blotches, creases at the joints, reddish knuckles and fingertips,
    nails, and the ring or bracelet that may be worn there."""
    palm = min(1.0, max(0.0, 0.5 + 1.1 * palmar))
    blotches = lookup(noise, x * 18, y * 18, z * 18)
    grain = lookup(noise, x * 70 + 7, y * 70, z * 70)
    patches = lookup(noise, x * 6 + 3, y * 6, z * 6 + 9)
    strength = surface.texture
    tone = 1 + strength * (0.06 * blotches + 0.10 * grain + 0.04 * patches)
    for channel in range(3):
        albedo[channel] = (surface.colour[channel] * (1 - palm) + surface.palm[channel] * palm) * tone
    albedo[1] *= 1 - 0.06 * strength * patches
    albedo[2] *= 1 - 0.08 * strength * patches
    albedo[3], albedo[4] = surface.specular, surface.gloss
    if finger < 0:
        if surface.band_start < arm < surface.band_end:
            for channel in range(3):
                albedo[channel] = surface.metal[channel]
            albedo[3], albedo[4] = 0.3, 25.0
        return
    for phalanx in range(3):
        dx = joints[finger, phalanx + 1, 0] - joints[finger, phalanx, 0]
        dy = joints[finger, phalanx + 1, 1] - joints[finger, phalanx, 1]
        dz = joints[finger, phalanx + 1, 2] - joints[finger, phalanx, 2]
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        along = (
            (x - joints[finger, phalanx, 0]) * dx
            + (y - joints[finger, phalanx, 1]) * dy
            + (z - joints[finger, phalanx, 2]) * dz
        ) / length  # distance from the joint along the bone, in hand lengths
        wavy = along + 0.006 * blotches
        if palm > 0.5:
            crease = 0.6 * strength * math.exp(-((wavy / 0.012) ** 2)) * (palm - 0.5)
        else:
            wrinkles = 1 + 0.8 * math.sin(wavy * 420 + 3 * grain)
            crease = 0.32 * strength * math.exp(-((wavy / 0.035) ** 2)) * (0.5 - palm) * wrinkles
        albedo[0] *= 1 - 0.75 * crease
        albedo[1] *= 1 - crease
        albedo[2] *= 1 - crease
        _blend(albedo, surface.flush, (0.175 if palm < 0.5 else 0.05) * math.exp(-((along / 0.05) ** 2)))
        share = along / length
        if (
            phalanx == 0
            and finger == surface.ring_finger
            and surface.ring_start < share < surface.ring_start + 0.13
        ):
            for channel in range(3):
                albedo[channel] = surface.metal[channel]
            albedo[3], albedo[4] = 0.9, 25.0
        if phalanx == 2 and share > 0.35:
            _blend(albedo, surface.flush, 0.35 * min(1.0, (share - 0.35) * 1.2))
            if palmar < -0.35 and 0.45 < share < 1.02:
                rim = 0.8 if share < 0.49 or palmar > -0.45 else 1.0
                for channel in range(3):
                    albedo[channel] = surface.nail[channel] * rim
                albedo[3], albedo[4] = 2 * surface.specular + 0.15, 50.0
