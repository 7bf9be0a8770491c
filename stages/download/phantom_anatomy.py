"""Heads without a lesion: the MNI152 brain in a skull, a scalp and a face, deformed into a patient, cut into slices.

Positions are millimetres of MNI space, x to the right, y forwards, z upwards, as arrays [3, n]. A slice is sampled straight
from the template volumes: no volume is ever resampled. Shapes are given as distances to their surface in mm, negative inside.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, map_coordinates

# The grid of the coarse volumes, which reach beyond the template to the chin and the neck.
CORNER, SHAPE, STEP = np.array([-112, -152, -152]), (113, 142, 135), 2
SELLA = (0, 5, -35)  # where the pituitary gland sits

# Template intensity of outside, cerebrospinal fluid, grey matter, white matter and the brightest,
# and how bright each is in a contrast, followed by fat and muscle.
TEMPLATE_GREYS = (0, 0.3, 0.66, 0.84, 1)
CONTRASTS = {
    "T1": ((0.10, 0.14, 0.34, 0.46, 0.52), 0.66, 0.28),
    "T2": ((0.55, 0.90, 0.52, 0.33, 0.25), 0.50, 0.18),
    "FLAIR": ((0.12, 0.16, 0.50, 0.38, 0.34), 0.42, 0.28),
}


@dataclass(frozen=True)
class Template:
    """What all patients share."""

    brain: np.ndarray  # T1 intensity, 0..1, voxels of 1 mm
    origin: np.ndarray  # position of the brain's first voxel
    skull: np.ndarray  # distance to the inner surface of the skull
    skin: np.ndarray  # distance to the surface of a head whose skull and scalp are 13 mm thick
    texture: np.ndarray  # smooth noise of standard deviation 1, periodic
    white: np.ndarray  # positions [3, n] deep in the white matter of the cerebrum


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves, [channels, n] at positions [3, n]."""

    vectors: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.amplitudes @ np.sin(self.vectors @ points + self.phases[:, None])


@dataclass(frozen=True)
class Patient:
    """One head: how scanner positions map to the template, and what its tissues look like."""

    matrix: np.ndarray
    bend: Waves  # mm
    ventricles: float  # how much wider the middle of the brain is than the template's
    contrast: str
    greys: np.ndarray
    fat: float
    muscle: float
    skull: float  # thickness, mm
    scalp: float  # thickness, mm
    texture: np.ndarray  # where in the texture this patient starts
    bias: Waves  # logarithm of the coil's sensitivity
    gamma: float
    noise: float


def load_template() -> Template:
    """The MNI152 T1 template of nilearn's wheel and the head built around it."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template, load_mni152_wm_mask

    image = load_mni152_template(resolution=1)
    origin = image.affine[:3, 3]
    deep = binary_erosion(_coarse(load_mni152_wm_mask(resolution=1), origin))
    white = CORNER[:, None] + STEP * np.argwhere(deep).T
    white = white[:, (white[2] > 0) & (np.abs(white[0]) > 14)]
    skull = _skull(_coarse(load_mni152_brain_mask(resolution=1), origin))
    axes = np.ogrid[tuple(slice(low, low + STEP * size, STEP) for low, size in zip(CORNER, SHAPE, strict=True))]
    face = _union(ellipsoid(axes, (0, 30, -70), (64, 66, 80)), ellipsoid(axes, (0, 88, -66), (15, 15, 24)), 10)
    skin = _union(_union(skull - 13, face, 16), ellipsoid(axes, (0, -32, -130), (60, 62, 130)), 30)
    noise = np.random.default_rng(0).normal(size=(64, 64, 64))
    texture = sum(band / band.std() for band in (gaussian_filter(noise, sigma, mode="wrap") for sigma in (0.8, 3)))
    return Template(image.get_fdata(), origin, skull, skin, texture / texture.std(), white)


def _coarse(mask, origin: np.ndarray) -> np.ndarray:
    """bool, on the coarse grid: every second voxel of a template mask."""
    voxels = np.asarray(mask.dataobj)[::STEP, ::STEP, ::STEP] > 0
    before = ((origin - CORNER) // STEP).astype(int)
    return np.pad(voxels, [(low, size - low - length) for low, size, length in zip(before, SHAPE, voxels.shape, strict=True)])


def _skull(brain: np.ndarray) -> np.ndarray:
    """A smooth shell around the brain: closed by 14 mm, which bridges the fissures and the sella, and 2 mm wider."""
    reach, gap = 14, 2
    outside = distance_transform_edt(~brain) * STEP
    wide = outside <= reach
    return gaussian_filter(np.where(wide, reach - gap - distance_transform_edt(wide) * STEP, outside - gap), 2)


def ellipsoid(points, centre, radii) -> np.ndarray:
    """Distance to an ellipsoid, roughly (exact for a ball), at the positions x, y, z."""
    squares = sum(((axis - middle) / radius) ** 2 for axis, middle, radius in zip(points, centre, radii, strict=True))
    return (np.sqrt(squares) - 1) * min(radii)


def _union(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Both shapes, rounded over `blend` mm where they meet."""
    return np.minimum(a, b) - np.maximum(blend - np.abs(a - b), 0) ** 2 / (4 * blend)


def inside(distance: np.ndarray, edge: float = 1.0) -> np.ndarray:
    """1 inside a shape, 0 outside, with a ramp of 2 x edge mm between: the partial volume of a voxel."""
    return np.clip(0.5 - distance / (2 * edge), 0, 1)


def mix(below: np.ndarray, above, share: np.ndarray) -> np.ndarray:
    """Brightness where `above` covers that share of `below`."""
    return below + (above - below) * share


def random_waves(rng: np.random.Generator, wavelengths: tuple[float, float], amplitude: float, count: int = 4, channels: int = 1) -> Waves:
    """A field of `count` waves, of a standard deviation of about `amplitude` in every channel; wavelengths in mm."""
    directions = rng.normal(size=(count, 3))
    lengths = np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(*wavelengths, (count, 1))
    amplitudes = rng.normal(size=(channels, count)) * amplitude * np.sqrt(2 / count)
    return Waves(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count), amplitudes)


def random_patient(rng: np.random.Generator, contrast: str) -> Patient:
    """A head with its own shape, tissues and scanner."""
    shear = np.eye(3) + np.triu(rng.normal(0, 0.04, (3, 3)), 1)
    greys, fat, muscle = CONTRASTS[contrast]
    return Patient(
        matrix=_rotation(rng.normal(0, 3, 3)) @ shear @ np.diag(1 / rng.normal(1, 0.05, 3)),
        bend=random_waves(rng, (90, 220), 3, count=6, channels=3),
        ventricles=rng.uniform(-0.35, 0.45),
        contrast=contrast,
        greys=np.array(greys) * rng.normal(1, 0.06, 5) * rng.uniform(0.88, 1.12),
        fat=fat * rng.uniform(0.7, 1.2),
        muscle=muscle * rng.uniform(0.8, 1.25),
        skull=rng.uniform(3.5, 6.5),
        scalp=rng.uniform(4, 8),
        texture=rng.uniform(0, 64, 3),
        bias=random_waves(rng, (250, 500), 0.12),
        gamma=rng.uniform(0.85, 1.2),
        noise=rng.uniform(0.005, 0.014),
    )


def _rotation(degrees: np.ndarray) -> np.ndarray:
    """[3, 3]: a turn about x, then y, then z."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_y @ about_x


def to_template(patient: Patient, points: np.ndarray) -> np.ndarray:
    """Template positions of scanner positions."""
    points = patient.matrix @ points + patient.bend(points)
    centre = np.array([[0], [-15], [12]])
    off = points - centre
    return centre + off * (1 - patient.ventricles * np.exp(-(off**2).sum(0) / 30**2))


def to_scanner(patient: Patient, position: np.ndarray) -> np.ndarray:
    """Scanner position [3] of a template position [3], by fixed-point iteration."""
    inverse, point = np.linalg.inv(patient.matrix), np.zeros(3)
    for _ in range(60):
        point = point + 0.6 * inverse @ (position - to_template(patient, point[:, None])[:, 0])
    return point


def slice_points(plane: str, position: np.ndarray, shape: tuple[int, int], pixel: float) -> np.ndarray:
    """Scanner positions [3, height * width] of the pixels, `pixel` mm wide, of a slice through `position`.

    Axial slices show the forehead at the top and have the head in the middle; coronal and sagittal ones show the vertex
    a little below the upper border, sagittal ones the face on the left.
    """
    height, width = shape
    down, right = (np.indices(shape).reshape(2, -1) - [[0], [width / 2]]) * pixel
    if plane == "axial":
        return np.stack([right, height * pixel / 2 - 8 - down, np.full_like(down, position[2])])
    if plane == "coronal":
        return np.stack([right, np.full_like(down, position[1]), 116 - down])
    return np.stack([np.full_like(down, position[0]), -8 - right, 116 - down])


def skull_distance(template: Template, points: np.ndarray) -> np.ndarray:
    """Distance to the inner surface of the skull at template positions."""
    return map_coordinates(template.skull, (points - CORNER[:, None]) / STEP, order=1, mode="nearest")


def skin_distance(template: Template, patient: Patient, points: np.ndarray) -> np.ndarray:
    """Distance to the surface of the patient's head at template positions."""
    distance = map_coordinates(template.skin, (points - CORNER[:, None]) / STEP, order=1, mode="nearest")
    return distance + 13 - patient.skull - patient.scalp


def tissue(template: Template, patient: Patient, points: np.ndarray, skull: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Brightness, about 0..1, at template positions whose distances to skull and skin are known."""
    texture = map_coordinates(template.texture, points / 2.5 + patient.texture[:, None], order=1, mode="grid-wrap")
    value = mix(patient.muscle * (1 + 0.25 * texture), patient.fat * (1 + 0.1 * texture), inside(-skin - patient.scalp, 1.5))
    low = (points[2] < 0) & (skull > -1)
    value[low] = _face(value[low], patient, points[:, low], texture[low])

    marrow = np.exp(-(((skull - patient.skull / 2) * 4 / patient.skull) ** 2)) * np.clip(0.7 + 0.4 * texture, 0, 1) * (points[2] > -30)
    value = mix(value, 0.03 + 0.35 * patient.fat * marrow, inside(skull - patient.skull))

    brain = map_coordinates(template.brain, points - template.origin[:, None], order=1)
    fluid = patient.greys[1] * (1 + 0.15 * texture)
    matter = np.interp(brain, TEMPLATE_GREYS, patient.greys) * (1 + 0.05 * texture)
    value = mix(value, np.where(brain > 0.02, matter, fluid), inside(skull))
    if patient.contrast == "T1":
        value = _enhancement(value, patient, points, skull)
    return value * inside(skin)


def _face(value: np.ndarray, patient: Patient, points: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Orbits, air, petrous bones, tongue, spine and cord."""
    x, y, z = points
    sides = np.stack([np.abs(x), y, z])
    value = mix(value, patient.fat * 0.8, inside(ellipsoid(sides, (28, 52, -36), (17, 30, 16))))
    value = mix(value, patient.muscle, inside(ellipsoid(sides, (22, 42, -36), (3, 22, 3))))
    eye = ellipsoid(sides, (31, 66, -36), (12, 12, 12))
    value = mix(value, patient.muscle * 1.3, inside(eye))
    value = mix(value, patient.greys[1], inside(eye + 1.5))
    value = mix(value, patient.muscle * 1.1, inside(ellipsoid(points, (0, 50, -98), (20, 30, 16)), 2))
    for centre, radii in (
        ((0, 20, -47), (14, 12, 8)),  # sphenoid sinus
        ((8, 80, -18), (9, 4, 9)),  # frontal sinuses
        ((30, 56, -72), (13, 15, 15)),  # maxillary sinuses
        ((0, 58, -54), (11, 26, 18)),  # nasal cavity
        ((0, 12, -100), (9, 9, 38)),  # pharynx
        ((48, -26, -46), (16, 9, 8)),  # petrous bones
    ):
        value = mix(value, 0.04, inside(ellipsoid(sides, centre, radii) + 1.5 * texture, 1.5))
    neck = inside(z + 72, 3)
    cord = y + 48 - 0.12 * (z + 72)
    vertebrae = patient.muscle * (0.9 + 0.6 * np.clip(3 * np.sin(z * 2 * np.pi / 19), -1, 1))
    value = mix(value, vertebrae, inside(np.hypot(x, cord - 20) - 11, 1.5) * neck)
    value = mix(value, patient.greys[1] * 0.9, inside(np.hypot(x, cord) - 9, 1.5) * neck)
    return mix(value, patient.greys[2], inside(np.hypot(x, cord) - 5) * neck)


def _enhancement(value: np.ndarray, patient: Patient, points: np.ndarray, skull: np.ndarray) -> np.ndarray:
    """What takes up contrast agent in everybody: the sagittal sinus, the falx, the carotids and the pituitary gland."""
    x, _, z = points
    bright = patient.greys[3] * 1.6
    value = mix(value, bright, inside(np.hypot(x, skull + 2) - 3) * (z > 0))
    value = mix(value, bright * 0.8, inside(np.abs(x) - 0.6, 0.7) * inside(np.abs(skull + 7) - 6) * (z > 5))
    value = mix(value, patient.greys[2], inside(ellipsoid(points, SELLA, (20, 11, 7)), 2))
    carotids = ellipsoid(np.stack([np.abs(x), *points[1:]]), (13, *SELLA[1:]), (3, 9, 3))
    return mix(mix(value, bright * 0.7, inside(carotids)), bright * 0.7, inside(ellipsoid(points, SELLA, (6, 4, 3.2))))


def received(patient: Patient, value: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The signal from scanner positions: brightness under the coil's bias field, after gamma."""
    return np.clip(value * np.exp(patient.bias(points)[0]), 0, None) ** patient.gamma


def add_noise(patient: Patient, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8, of any shape: the magnitude picture of a signal, with Rician noise."""
    real, imaginary = rng.normal(0, patient.noise, (2, *signal.shape))
    return np.rint(255 * np.clip(np.hypot(signal + real, imaginary), 0, 1)).astype(np.uint8)
