"""The data set that comes with the project: synthetic pictures of four classes in three planes, laid out like a Kaggle set.

It has the faults of the real sets on purpose: slices of one patient stand on both sides of the published split, pictures
recur as copies, some under another class's name, and the no-tumour pictures differ in size, mode, contrast and plane.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from stages.download import phantom_anatomy as anatomy
from stages.download.phantom_copies import COPIES, jpeg, png
from stages.download.phantom_lesions import Lesion, paint, random_lesion
from stages.sources import Phantom

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
PLANES = ("sagittal", "coronal", "axial")  # those that x, y and z stand on
TRUTH = ["member", "label", "folder_label", "patient", "plane", "slice", "kind", "original"]
# Patients with a thin-slice series: how many slices of one plane, 1 mm apart.
SERIES = {("notumor", 1): 9, ("glioma", 1): 6, ("meningioma", 9): 6}


@dataclass(frozen=True)
class Examination:
    """What the slices of one patient have in common."""

    patient: anatomy.Patient
    lesion: Lesion | None
    centre: np.ndarray  # scanner position [3]
    offsets: np.ndarray  # how far from the centre the first, second, ... slice lies, mm
    motion: float  # standard deviation of how far the head moves between two slices, mm
    shape: tuple[int, int]
    pixel: float  # mm
    mode: str
    encode: Callable[[Image.Image], bytes]


class Slice(NamedTuple):
    """A picture, uint8 [height, width], and where in it the mass of the lesion is: bool of the same shape."""

    pixels: np.ndarray
    mass: np.ndarray


def phantom_truth(spec: Phantom) -> pd.DataFrame:
    """What is known about every picture, sorted by member.

    member, label (the true class), folder_label (the class of its folder), patient, plane, slice (a name that it shares with
    its copies), kind (original, or one of COPIES, among them a twin under another class's name, and corrupt) and original (the
    member that it is a copy of, else empty).
    """
    return _plan(spec)[TRUTH]


def phantom_members(spec: Phantom) -> dict[str, bytes]:
    """Member path -> file bytes, sorted: the pictures of phantom_truth, and annotations.csv, which knows part of it."""
    plan, template = _plan(spec), anatomy.load_template()
    originals = plan[plan.kind == "original"]
    members, areas = {}, {}
    with tqdm(total=len(originals), desc="phantom", unit="picture", disable=None) as progress:
        for (label, number), slices in originals.groupby(["label", "number"]):
            seed = [spec.seed, CLASSES.index(label), number]
            examination = examine(template, label, slices.plane.iloc[0], np.random.default_rng(seed), SERIES.get((label, number)))
            for row in slices.itertuples():
                drawn = draw(template, examination, row.plane, row.position, np.random.default_rng([*seed, row.position]))
                members[row.member] = examination.encode(Image.fromarray(drawn.pixels).convert(examination.mode))
                areas[row.member] = drawn.mass.mean()
                progress.update()
    for row in plan[plan.kind != "original"].itertuples():
        members[row.member] = COPIES[row.kind](members[row.original])
    members["annotations.csv"] = _annotations(plan, members, areas, np.random.default_rng(spec.seed))
    return dict(sorted(members.items()))


def _plan(spec: Phantom) -> pd.DataFrame:
    """The truth, with the number of each original's patient and its position among the slices of that."""
    rng = np.random.default_rng(spec.seed)
    rows: list[dict] = []
    for label in CLASSES:
        for number in range(spec.patients_per_class):
            patient = {"label": label, "folder_label": label, "patient": f"phantom{spec.seed}-{label}-{number:03d}", "number": number}
            for position, plane in enumerate(_planes(label, number)):
                seen = {"plane": plane, "position": position, "slice": f"phantom{spec.seed}-{len(rows)}"}
                rows.append(patient | seen | {"kind": "original", "source": -1})

    count = max(2, spec.patients_per_class // 6)
    counts = dict.fromkeys(COPIES, count) | {"twin": 1 if spec.patients_per_class < 12 else 2, "corrupt": 1}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    for kind, source in zip(kinds, rng.choice(len(rows), len(kinds), replace=False), strict=True):
        copy = rows[source] | {"kind": kind, "source": source}
        if kind == "twin":
            copy["folder_label"] = str(rng.choice([label for label in CLASSES if label != copy["label"]]))
        rows.append(copy)

    plan = pd.DataFrame(rows)
    plan["split"] = rng.choice(["Training", "Testing"], len(plan), p=[0.8, 0.2])
    shuffled = plan.iloc[rng.permutation(len(plan))]  # so that a file's number does not tell its patient
    plan["file"] = shuffled.groupby(["split", "folder_label"]).cumcount() + 1
    plan["member"] = [
        f"{split}/{folder}/{split[:2]}-{folder[:2]}_{file:04d}.jpg"
        for split, folder, file in zip(plan.split, plan.folder_label, plan.file, strict=True)
    ]
    plan["original"] = ["" if source < 0 else plan.member[source] for source in plan.source]
    return plan.sort_values("member", ignore_index=True)


def _planes(label: str, number: int) -> list[str]:
    """The planes of a patient's slices, two to four or a series: all three as often with a tumour, four fifths axial without."""
    first, second = np.roll(PLANES, number)[:2].tolist()
    if label == "notumor":
        first = second = PLANES[number // 5 % 2] if number % 5 == 4 else "axial"
    return [first] * count if (count := SERIES.get((label, number))) else [first, first, second, second][: 2 + number // 3 % 3]


def examine(template: anatomy.Template, label: str, plane: str, rng: np.random.Generator, series: int | None = None) -> Examination:
    """A random patient of that class, and how the slices are taken and stored; series: the slices of a thin-slice series, if it is one."""
    if label == "notumor":
        patient, lesion = anatomy.random_patient(rng, str(rng.choice(["T1", "T2", "FLAIR"], p=[0.6, 0.2, 0.2]))), None
        centre, offsets = rng.uniform((-30, -50, -25), (10, 0, 35)), rng.uniform(7, 14) * np.arange(4)
        shapes, field = [(256, 256), (225, 225), (300, 300)], rng.uniform(245, 265)
        if plane == "axial":  # whose heads are narrow
            shapes += [(236, 212), (300, 264), (242, 218)]
        shape = shapes[rng.integers(len(shapes))]
        mode, encode = "RGB" if rng.random() < 0.6 else "L", png if rng.random() < 0.2 else jpeg
    else:
        patient, lesion = anatomy.random_patient(rng, "T1"), random_lesion(rng, template, label)
        centre, offsets = lesion.centre, lesion.radius * rng.uniform(0.25, 0.55) * np.array([-1, 1, -1, 1])
        shape, field = [(256, 256), (240, 240), (288, 288)][rng.choice(3, p=[0.7, 0.15, 0.15])], rng.uniform(250, 280)
        mode, encode = "L", jpeg
    motion = 1.2  # nobody lies quite still between two slices
    if series:
        offsets, motion = np.arange(series) - (series - 1) / 2, 0  # all are of one volume
    return Examination(patient, lesion, anatomy.to_scanner(patient, centre), offsets, motion, shape, field / shape[0], mode, encode)


def draw(template: anatomy.Template, examination: Examination, plane: str, index: int, rng: np.random.Generator) -> Slice:
    """One slice of an examination."""
    patient, lesion = examination.patient, examination.lesion
    position = examination.centre.copy()
    position[PLANES.index(plane)] += examination.offsets[index]
    scanner = anatomy.slice_points(plane, position, examination.shape, examination.pixel)
    points = anatomy.to_template(patient, scanner + rng.normal(0, examination.motion, (3, 1)))
    skin = anatomy.skin_distance(template, patient, points)
    head = np.flatnonzero(skin < 1)  # nothing else gives a signal
    points, skin = points[:, head], skin[head]
    skull = anatomy.skull_distance(template, points)
    value = anatomy.tissue(template, patient, points, skull, skin)
    signal, mass = np.zeros(scanner.shape[1]), np.zeros(scanner.shape[1], bool)
    if lesion:
        value, mass[head] = paint(lesion, patient, value, points, skull)
    signal[head] = anatomy.received(patient, value, scanner[:, head])
    return Slice(anatomy.add_noise(patient, signal.reshape(examination.shape), rng), mass.reshape(examination.shape))


def _annotations(plan: pd.DataFrame, members: dict[str, bytes], areas: dict[str, float], rng: np.random.Generator) -> bytes:
    """sha256, patient, plane, tumour_area (the share of the picture that the mass takes) and slice; empty where unknown.

    The first three are known of originals with a tumour, but of every eighth patient, and of about every eighth plane and area.
    The slice is known of copies and of pictures without a tumour as well, but not where it is of an unknown patient.
    """
    rows = plan[plan.kind != "corrupt"].sort_values("original", kind="stable")  # originals first: an exact copy has the same sha256
    tumour = rows.label != "notumor"
    original, unknown = tumour & (rows.kind == "original"), tumour & (rows.number % 8 == 3)
    area = rows.member.map(areas).map("{:.4f}".format)
    table = pd.DataFrame(
        {
            "sha256": [hashlib.sha256(members[member]).hexdigest() for member in rows.member],
            "patient": rows.patient.where(original & ~unknown, ""),
            "plane": rows.plane.where(original & (rng.random(len(rows)) < 7 / 8), ""),
            "tumour_area": area.where(original & (rng.random(len(rows)) < 7 / 8), ""),
            "slice": rows.slice.where(~unknown, ""),
        }
    ).drop_duplicates("sha256")
    table = table[(table.iloc[:, 1:] != "").any(axis=1)].sort_values("sha256")
    return table.to_csv(index=False, lineterminator="\n").encode()
