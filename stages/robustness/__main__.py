"""How far the metrics fall when the test images are noisy, blurred, turned or stored otherwise than those of the training.

Of some test images of each class, each is predicted by the model of its fold (of several seeds the first one's), as it is and after each change.
Writes metrics/robustness.json, the worst change first, and metrics/plots/robustness.csv.
"""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.catalog import MODELS, PIXELS, PREDICTIONS, model_file, pixel_rows, read_table, write_metrics, write_table
from stages.demonstration import is_demonstration
from stages.network import Network
from stages.robustness.changes import CHANGES, apply
from stages.scores import or_null, score

PICTURES = 120  # of each class
METRICS = ("accuracy", "macro_f1")


def main() -> None:
    about = json.loads((MODELS / "model.json").read_text(encoding="utf-8"))
    classes, seed = about["classes"], about["seeds"][0]
    sample = choose(read_table(PREDICTIONS))
    pictures = np.load(PIXELS, mmap_mode="r")[sample.image_id.map(pixel_rows()).to_numpy(int)]
    labels = sample.label.map(classes.index).to_numpy(int)
    seeds = [int(key[:8], 16) for key in sample.key]

    network = Network(about)
    probabilities = np.zeros((1 + len(CHANGES), len(sample), len(classes)))
    with tqdm(total=probabilities.shape[0] * len(sample), unit="picture", desc="robustness", disable=None) as progress:
        for fold, mine in sample.groupby("fold"):
            network.load(MODELS / model_file(fold, seed))
            here = mine.index.to_numpy()
            for number, change in enumerate([None, *CHANGES.values()]):
                seen = apply(change, pictures[here], [seeds[n] for n in here]) if change else pictures[here]
                probabilities[number, here] = network.probabilities(seen)
                progress.update(len(here))

    unchanged, *changed = (measure(labels, p, classes) for p in probabilities.round(6))
    rows = [
        {"change": name, "strength": strength, "fell_by": _fall(unchanged, found), **found}
        for (name, strength), found in zip(CHANGES, changed, strict=True)
    ]
    rows.sort(key=lambda row: -(row["fell_by"] or 0))
    write_metrics(
        {"demonstration": is_demonstration(), "pictures": len(sample), "unchanged": unchanged, "changes": rows}, "metrics/robustness.json"
    )
    table = pd.DataFrame(rows)[["change", "strength", *METRICS]]
    write_table(table.assign(label=table.change + ", " + table.strength), "metrics/plots/robustness.csv")
    print(f"{len(sample)} pictures, macro-F1 {unchanged['macro_f1']:.3f} as they are")
    for row in rows[:3]:
        print(f"{row['change']}, {row['strength']}: {row['macro_f1']:.3f}")


def choose(predictions: pd.DataFrame) -> pd.DataFrame:
    """At most PICTURES of each label: image_id, fold, label and key, a hash of both; those with the smallest, so the same ones in every experiment."""
    table = predictions[["image_id", "fold", "label"]].assign(
        key=[sha256(f"{row.image_id} {row.fold}".encode()).hexdigest() for row in predictions.itertuples()]
    )
    return table.sort_values(["label", "key"]).groupby("label").head(PICTURES).reset_index(drop=True)


def measure(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict:
    """METRICS, and the recall of each class, None for one without pictures; the folds are pooled."""
    scores = score(labels, probabilities, classes, 1)
    recalls = {name: or_null(scores[f"{name}.recall"]) for name in classes}
    return {name: or_null(scores[name]) for name in METRICS} | {"recall": recalls}


def _fall(unchanged: dict, changed: dict) -> float | None:
    before, after = unchanged["macro_f1"], changed["macro_f1"]
    return None if before is None or after is None else before - after


if __name__ == "__main__":
    main()
