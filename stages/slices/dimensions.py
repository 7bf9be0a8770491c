"""What the test pictures are sliced by."""

from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

SIZES = (224, 256, 511, 512)  # upper ends of the bins, pixels: the usual network input, thumbnails, and a full MRI matrix on its own
AREAS = (0.005, 0.01, 0.02)  # upper ends of the bins, shares of the picture: tumours 2, 3 and 4 cm wide where the picture is 25 cm, about
CONTRAST = r"\b(T1C\+|T1|T2)$"  # at the end of a folder's name, as in "Meningioma T1C+"


def dimensions(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Name of each dimension -> the slice that each row of the table (plane, source, member, width, height, patient, tumour_area) lies in.

    plane: of dedupe, annotated or predicted; source: the set that the predicted file comes from; size: the shorter stored side;
    contrast: what the name of the file's folder says, where the data set names its contrasts; patient: whether it is known, as it is
    of the pictures that come from a published study; tumour area: the share of the picture, where a mask has measured it. A dimension
    that puts all pictures into one slice tells nothing and is left out.
    """
    folders = table.member.map(lambda member: PurePosixPath(member).parent.name)
    found = {
        "plane": table.plane.replace("", "unknown"),
        "source": table.source,
        "size": size_bins(table[["width", "height"]].min(axis=1).to_numpy(int)),
        "contrast": folders.str.extract(CONTRAST, expand=False).fillna("unnamed"),
        "patient": np.where(table.patient != "", "known", "unknown"),
        "tumour area": area_bins(table.tumour_area.to_numpy(float)),
    }
    found = {name: pd.Series(values, table.index, dtype=object) for name, values in found.items()}
    return {name: values for name, values in found.items() if values.nunique() > 1}


def size_bins(sides: np.ndarray) -> np.ndarray:
    """Name of the bin that each side, int [N], pixels, lies in: str [N]."""
    between = [f"{low + 1} to {high} px" if low + 1 < high else f"{high} px" for low, high in pairwise(SIZES)]
    return np.array([f"up to {SIZES[0]} px", *between, f"over {SIZES[-1]} px"])[np.searchsorted(SIZES, sides)]


def area_bins(shares: np.ndarray) -> np.ndarray:
    """Name of the bin that each share of the picture, float [N], 0 to 1 or nan, lies in: str [N]."""
    between = [f"over {low:.1%} to {high:.1%}" for low, high in pairwise(AREAS)]
    names = np.array([f"up to {AREAS[0]:.1%}", *between, f"over {AREAS[-1]:.1%}"])[np.searchsorted(AREAS, shares)]
    return np.where(np.isnan(shares), "no mask", names)
