"""Simulated tumours, each where its kind grows: glioma in the white matter, meningioma on the dura, pituitary adenoma in the sella.

A lesion is placed and painted at template positions, so it bends with the patient's anatomy.
"""

from dataclasses import dataclass

import numpy as np

from stages.download.phantom_anatomy import SELLA, Patient, Template, Waves, ellipsoid, inside, mix, random_waves, skull_distance


@dataclass(frozen=True)
class Lesion:
    label: str
    centre: np.ndarray  # template position [3]
    radius: float  # mm
    surface: Waves  # how far the surface bulges, in radii
    brightness: float  # relative to white matter
    oedema: float = 0  # width of a glioma's halo, in radii
    necrosis: float = 0  # radius of a glioma's dead core, in radii


def random_lesion(rng: np.random.Generator, template: Template, label: str) -> Lesion:
    """A lesion of the class `label`, somewhere it could be."""
    if label == "glioma":
        centre, radius = template.white[:, rng.integers(template.white.shape[1])], rng.uniform(13, 23)
        surface = random_waves(rng, (18, 50), 0.2, count=6)
        return Lesion(label, centre, radius, surface, rng.uniform(1.3, 2.0), rng.uniform(0.5, 1.2), rng.uniform(0.4, 0.8))
    if label == "meningioma":
        radius = rng.uniform(11, 21)
        return Lesion(label, _on_dura(rng, template, radius), radius, random_waves(rng, (25, 60), 0.08), rng.uniform(1.5, 2.1))
    radius = rng.uniform(8, 14)
    centre = np.array(SELLA) + rng.normal(0, 1, 3) + [0, 0, 0.5 * (radius - 6)]
    return Lesion(label, centre, radius, random_waves(rng, (15, 40), 0.1), rng.uniform(1.5, 2.1))


def _on_dura(rng: np.random.Generator, template: Template, radius: float) -> np.ndarray:
    """A position half a radius below the skull over the cerebrum, so that the mass sits on a broad base."""
    direction = rng.normal(size=3)
    direction[2] = abs(direction[2])
    ray = np.array([[0], [-15], [8]]) + direction[:, None] / np.linalg.norm(direction) * np.arange(0, 110, 0.5)
    return ray[:, np.argmax(skull_distance(template, ray) > -radius / 2)]


def paint(lesion: Lesion, patient: Patient, value: np.ndarray, points: np.ndarray, skull: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightness with the lesion in it, at template positions whose distance to the skull is known, and where its mass is: bool."""
    near = np.flatnonzero(ellipsoid(points, lesion.centre, [lesion.radius] * 3) < 2 * lesion.radius)
    distance = _distance(lesion, points[:, near])
    painted, mass = value.copy(), np.zeros(value.shape, bool)
    painted[near] = _KINDS[lesion.label](lesion, patient, value[near], points[:, near], skull[near], distance)
    mass[near] = (distance < 0) & ((skull[near] < 0) | (lesion.label == "pituitary"))  # the template's brain ends above the sella
    return painted, mass


def _distance(lesion: Lesion, points: np.ndarray) -> np.ndarray:
    """Distance to the lesion's surface, mm, negative within."""
    radii = lesion.radius * np.array([1, 0.9, 1.15] if lesion.label == "pituitary" else [1, 1, 1])
    return ellipsoid(points, lesion.centre, radii) + lesion.radius * lesion.surface(points)[0]


def _glioma(lesion: Lesion, patient: Patient, value: np.ndarray, points: np.ndarray, skull: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """A dead core in a ragged, unevenly enhancing rim, and oedema that darkens the white matter around."""
    fluid, _, white = patient.greys[1:4]
    brain = inside(skull + 3)
    patchy = lesion.surface(points * 1.4)[0]
    halo = inside(distance - lesion.radius * lesion.oedema, 6) * np.clip((value - fluid) / (white - fluid), 0, 1) * brain
    value = mix(value, fluid, 0.55 * halo)
    value = mix(value, white * lesion.brightness * (1 + patchy), inside(distance, 2.5) * brain)
    return mix(value, fluid * 1.4, inside(distance + lesion.radius * (1 - lesion.necrosis + patchy), 2.5) * brain)


def _meningioma(
    lesion: Lesion, patient: Patient, value: np.ndarray, points: np.ndarray, skull: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """A bright, even mass on the dura, a cleft of fluid around it and a tail along the dura."""
    bright = patient.greys[3] * lesion.brightness
    cavity = inside(skull - 0.5)
    value = mix(value, bright * 0.9, inside(np.abs(skull + 0.5) - 1.2) * inside(distance - 0.6 * lesion.radius, 3))
    value = mix(value, patient.greys[1], 0.6 * inside(np.abs(distance - 1) - 0.8) * cavity)
    return mix(value, bright, inside(distance, 1.2) * cavity)


def _pituitary(
    lesion: Lesion, patient: Patient, value: np.ndarray, points: np.ndarray, skull: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """A bright, even mass, a little taller than wide."""
    return mix(value, patient.greys[3] * lesion.brightness, inside(distance, 1.2))


_KINDS = {"glioma": _glioma, "meningioma": _meningioma, "pituitary": _pituitary}
