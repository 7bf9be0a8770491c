"""The tables that stages hand to one another: read and written alike everywhere, so that they are the same bytes everywhere."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

CATALOG = Path("data/merged/catalog.csv")
DEMONSTRATION = Path("data/merged/demonstration.json")  # a file of its own, so that it only changes with what it says
CLUSTERS = Path("data/dedupe/clusters.csv")
CONFLICTS = Path("data/dedupe/conflicts.csv")
FOLDS = Path("data/split/folds.csv")
SAMPLES = Path("data/balanced/samples.csv")
PIXELS = Path("data/preprocessed/pixels.npy")
INDEX = Path("data/preprocessed/index.csv")
MODELS = Path("data/models")
PREDICTIONS = Path("data/predictions.csv")
VALIDATION_PREDICTIONS = Path("data/validation_predictions.csv")
CALIBRATION = Path("data/calibration.json")

ROLES = ("train", "validation", "test")
PLANES = ("axial", "coronal", "sagittal")
TEXT = (  # columns whose values may look like numbers: patient 007 is not patient 7
    "image_id", "source", "member", "sha256", "label", "published_split", "mode", "format", "augmented_from", "patient", "plane",
    "slice", "copy", "orientation", "plane_source", "role", "origin", "change", "predicted", "reason",
)  # fmt: skip


def model_file(fold: int, seed: int) -> str:
    """Name of the weights, in MODELS or a package, that were trained on this fold from this seed."""
    return f"fold-{fold}-seed-{seed}.safetensors"


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV; what is empty is the empty string, never NaN, and text stays text."""
    return pd.read_csv(path, keep_default_na=False, dtype_backend="numpy_nullable", na_values=[], dtype=dict.fromkeys(TEXT, "string"))


def pixel_rows() -> pd.Series:
    """int, by image_id: where each preprocessed image is in PIXELS."""
    index = read_table(INDEX).image_id
    return pd.Series(index.index, index)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV with \\n line ends, without an index; numbers as they print shortest."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")


def write_metrics(metrics: dict, path: str | Path) -> None:
    """Write metrics as JSON in the order given; floats rounded to six decimals so that diffs stay readable."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if odd := [name for name, value in _flat(metrics) if isinstance(value, float) and not math.isfinite(value)]:
        raise SystemExit(f"{path}: {', '.join(odd)} came out as no finite number, which no metric may be")
    path.write_text(json.dumps(_rounded(metrics), indent=2) + "\n", encoding="utf-8")


def _flat(value, name: str = "") -> Iterator[tuple[str, object]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else None
    if parts is None:
        yield name, value.item() if hasattr(value, "item") else value
    else:
        for key, part in parts:
            yield from _flat(part, f"{name}.{key}".lstrip("."))


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return round(value, 6) if isinstance(value, float) else value
