"""The data set that ships with the project: synthetic pictures of four classes in three planes, laid out like a Kaggle set.

It has the faults of the real sets on purpose: the slices of a patient stand on both sides of the published split, pictures
recur as copies, some under another class's name, and the no-tumour pictures differ in size, mode, contrast and plane.
"""
import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from stages.download import phantom_anatomy as anatomy
from stages.download.phantom_copies import COPIES, jpeg, png
from stages.download.phantom_lesions import Lesion, paint, random_lesion
from stages.sources import Phantom

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
NORMALS = ("sagittal", "coronal", "axial")  # the plane across x, y and z
TRUTH = ["member", "label", "folder_label", "patient", "plane", "kind", "original"]


@dataclass(frozen=True)
class Examination:
    """What the slices of one patient have in common."""

    patient: anatomy.Patient
    lesion: Lesion | None
    target: np.ndarray  # scanner position [3] that the slices lie around
    gap: float  # mm between two slices of one plane
    shape: tuple[int, int]
    pixel: float  # mm
    colour: bool
    encode: object  # Image -> bytes


def phantom_truth(spec: Phantom) -> pd.DataFrame:
    """What is known about every picture, sorted by member.

    member, label (the true class), folder_label (the class of its folder), patient, plane, kind (original, or one of
    COPIES: exact, reencoded, resized, squashed, cropped, brightened, mirrored, flipped, a twin under another class's name,
    or corrupt) and original (the member that it is a copy of, else empty).
    """
    return _plan(spec)[TRUTH]


def phantom_members(spec: Phantom) -> dict[str, bytes]:
    """Member path -> file bytes, sorted: the pictures of phantom_truth, and annotations.csv (sha256, patient, plane)."""
    plan, template = _plan(spec), anatomy.load_template()
    originals = plan[plan.kind == "original"]
    members = {}
    with tqdm(total=len(plan), desc="phantom", unit="picture", disable=None) as progress:
        for (label, number), slices in originals.groupby(["label", "number"]):
            seed = [spec.seed, CLASSES.index(label), number]
            examination = _examine(template, label, slices.plane.iloc[0], np.random.default_rng(seed))
            for row in slices.itertuples():
                pixels = draw(template, examination, row.plane, row.slice, np.random.default_rng([*seed, row.slice]))
                image = Image.fromarray(pixels)
                members[row.member] = examination.encode(image.convert("RGB") if examination.colour else image)
                progress.update()
        for row in plan[plan.kind != "original"].itertuples():
            members[row.member] = COPIES[row.kind](members[row.original])
            progress.update()
    members["annotations.csv"] = _annotations(originals, members, np.random.default_rng(spec.seed))
    return dict(sorted(members.items()))


def _plan(spec: Phantom) -> pd.DataFrame:
    """The truth, with each original's patient number and slice."""
    rng = np.random.default_rng(spec.seed)
    rows = [
        {"label": label, "folder_label": label, "patient": f"phantom{spec.seed}-{label}-{number:03d}", "plane": plane,
         "kind": "original", "number": number, "slice": index, "source": -1}
        for label in CLASSES for number in range(spec.patients_per_class) for index, plane in enumerate(_planes(label, number))
    ]  # fmt: skip
    copies = max(2, spec.patients_per_class // 4)
    counts = {kind: copies for kind in COPIES} | {"twin": 1 if spec.patients_per_class < 12 else 2, "corrupt": 1}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    for kind, source in zip(kinds, rng.permutation(len(rows))[: len(kinds)], strict=True):
        rows.append(rows[source] | {"kind": kind, "source": source})
        if kind == "twin":
            rows[-1]["folder_label"] = str(rng.choice([label for label in CLASSES if label != rows[source]["label"]]))

    plan = pd.DataFrame(rows)
    plan["split"] = rng.choice(["Training", "Testing"], len(plan), p=[0.8, 0.2])
    order = rng.permutation(len(plan))  # so that a file's number does not tell its patient
    plan.loc[order, "file"] = plan.loc[order].groupby(["split", "folder_label"]).cumcount().to_numpy() + 1
    plan["member"] = [
        f"{row.split}/{row.folder_label}/{row.split[:2]}-{row.folder_label[:2]}_{int(row.file):04d}.jpg" for row in plan.itertuples()
    ]
    plan["original"] = ["" if row.source < 0 else plan.member[row.source] for row in plan.itertuples()]
    return plan.sort_values("member", ignore_index=True)


def _planes(label: str, number: int) -> list[str]:
    """The planes of a patient's two to four slices: as many of each with a tumour, four fifths axial without."""
    first, second = np.roll(NORMALS, number)[:2].tolist()
    if label == "notumor":
        first = second = "axial" if number % 5 != 4 else NORMALS[number // 5 % 2]
    return [first, first, second, second][: 2 + number // 3 % 3]


def _examine(template: anatomy.Template, label: str, plane: str, rng: np.random.Generator) -> Examination:
    """A random patient with a tumour of that class, and the settings of the scan."""
    if label == "notumor":
        patient = anatomy.random_patient(rng, str(rng.choice(["T1", "T2", "FLAIR"], p=[0.6, 0.2, 0.2])))
        lesion, gap = None, rng.uniform(11, 16)
        centre = rng.uniform((-30, -50, -36), (10, 0, 25))
        shapes = [(256, 256), (225, 225), (236, 212), (300, 264), (242, 218)] if plane == "axial" else [(256, 256), (225, 225), (300, 300)]
        shape, field = shapes[rng.integers(len(shapes))], rng.uniform(240, 260)
        colour, encode = bool(rng.random() < 0.6), png if rng.random() < 0.2 else jpeg
    else:
        patient, lesion = anatomy.random_patient(rng, "T1"), random_lesion(rng, template, label)
        centre, gap = lesion.centre, lesion.radius * rng.uniform(0.8, 1.1)
        shape, field = ((256, 256), (240, 240), (288, 288))[rng.choice(3, p=[0.7, 0.15, 0.15])], rng.uniform(240, 275)
        colour, encode = False, jpeg
    return Examination(patient, lesion, anatomy.to_scanner(patient, centre), gap, shape, field / shape[0], colour, encode)


def draw(template: anatomy.Template, examination: Examination, plane: str, index: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [height, width]: one slice of an examination."""
    patient, lesion = examination.patient, examination.lesion
    position = examination.target.copy()
    position[NORMALS.index(plane)] += examination.gap * (index % 2 - 0.5 if lesion else index)
    scanner = anatomy.slice_points(plane, position, examination.shape, examination.pixel)
    points = anatomy.to_template(patient, scanner)
    skin = anatomy.skin_distance(template, patient, points)
    head = np.flatnonzero(skin < 1)
    points, skin = points[:, head], skin[head]
    skull = anatomy.skull_distance(template, points)
    value = anatomy.tissue(template, patient, points, skull, skin)
    if lesion:
        value = paint(lesion, patient, value, points, skull)
    signal = np.zeros(scanner.shape[1])
    signal[head] = anatomy.scan(patient, value, scanner[:, head])
    return anatomy.add_noise(patient, signal.reshape(examination.shape), rng)


def _annotations(originals: pd.DataFrame, members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """sha256,patient,plane of most tumour pictures: one patient in eight and one plane in eight are unknown."""
    rows = originals[originals.label != "notumor"]
    table = pd.DataFrame({
        "sha256": [hashlib.sha256(members[member]).hexdigest() for member in rows.member],
        "patient": rows.patient.where(rows.number % 8 != 3, "").to_numpy(),
        "plane": rows.plane.where(rng.random(len(rows)) < 7 / 8, "").to_numpy(),
    })
    return table[(table.patient != "") | (table.plane != "")].sort_values("sha256").to_csv(index=False, lineterminator="\n").encode()
