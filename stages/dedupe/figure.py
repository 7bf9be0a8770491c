"""What tells copies from neighbours, for all pairs that were compared: agreement of details against their displacement."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from stages.dedupe.register import DISPLACED, DISPLACED_ALTERED

matplotlib.use("agg")

KINDS = {  # colours that differ for the colour-blind too (Okabe and Ito, 2008), the rarest drawn last
    "not known": "#bbbbbb",
    "two patients": "#e69f00",
    "two slices of one patient": "#d55e00",
    "the same slice": "#0072b2",
}
FARTHEST = 2.0  # pixels that the axis of displacements shows


def kinds_of_pairs(first: np.ndarray, second: np.ndarray, patient: np.ndarray, slices: np.ndarray) -> np.ndarray:
    """Names [P] out of KINDS for pairs of pictures; patient and slices: numbers of what is known of each picture, 0 where nothing is."""
    known = (slices[first] > 0) & (slices[second] > 0)
    people = (patient[first] > 0) & (patient[second] > 0)
    conditions = [known & (slices[first] == slices[second]), people & (patient[first] != patient[second]), known]
    return np.select(conditions, ["the same slice", "two patients", "two slices of one patient"], "not known")


def draw(agreement: np.ndarray, displacement: np.ndarray, kinds: np.ndarray, least: float, path: str | Path) -> None:
    """Write a PNG of pairs [P] and of the border beyond which they are not the same; least: the agreement that this takes."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    panel = figure.subplots()
    missing = 1 - agreement
    for kind, colour in KINDS.items():
        of = (kinds == kind) & (agreement > 0)
        label = f"{kind} ({of.sum():,})"
        panel.scatter(
            missing[of].clip(1e-4), displacement[of].clip(0, FARTHEST), 5, colour, alpha=0.5, linewidths=0, label=label, rasterized=True
        )
    border = np.geomspace(1e-4, 1 - least, 100)
    panel.plot([*border, 1 - least], [*(DISPLACED + DISPLACED_ALTERED * np.sqrt(border)), 0], "black", label="below: the same image")
    panel.set(
        xscale="log", xlabel="1 - agreement of details (correlation)", ylabel="displacement of details (pixels of 160)", ylim=(0, FARTHEST)
    )
    panel.legend(loc="upper left", markerscale=3)
    panel.set_title("Pairs of images, laid over each other, by what is known of them")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})  # the version of matplotlib would change the bytes
