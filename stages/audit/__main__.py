"""List the labels that are probably wrong, for somebody who can tell to fill in.

Writes metrics/audit.csv, a row a picture: labels that the out-of-fold predictions contradict, most suspicious first, then the
pictures that occur under several labels. Its column correct_label is empty; `python -m tools.corrections FILE` takes the filled
table back in. The first pictures are in metrics/plots/suspects.png.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from stages.audit import sheet
from stages.audit.suspects import suspects
from stages.catalog import CLUSTERS, CONFLICTS, PIXELS, PREDICTIONS, pixel_rows, read_table, write_metrics, write_table
from stages.demonstration import is_demonstration
from stages.predictions import Predictions

AUDIT = "metrics/audit.csv"
SHEET = Path("metrics/plots/suspects.png")
COLUMNS = ["image_id", "label", "suggested", "p_label", "p_suggested", "reason", "cluster", "patient", "correct_label"]


def main() -> None:
    demonstration = is_demonstration()
    tested, conflicts = read_table(PREDICTIONS), read_table(CONFLICTS)
    clusters = read_table(CLUSTERS).set_index("image_id")

    doubted = suspects(tested.image_id, Predictions.from_table(tested, clusters.group)).assign(reason="the model disagrees")
    disputed = conflicts.sort_values(["cluster", "image_id"])[["image_id", "label"]].assign(
        suggested="", p_label="", p_suggested="", reason="occurs under several labels"
    )
    table = pd.concat([doubted.astype(object), disputed.astype(object)]).assign(correct_label="")
    table["cluster"], table["patient"] = table.image_id.map(clusters.cluster), table.image_id.map(clusters.patient)
    write_table(table[COLUMNS], AUDIT)

    shown = table.head(min(len(doubted), sheet.ROWS * sheet.COLUMNS))
    sheet.draw(shown, list(np.load(PIXELS, mmap_mode="r")[shown.image_id.map(pixel_rows()).to_numpy(int)]), demonstration, SHEET)

    pairs = doubted.groupby(["label", "suggested"]).size().sort_values(ascending=False, kind="stable")
    metrics = {
        "demonstration": demonstration,
        "pictures": len(tested),
        "doubted": len(doubted),
        "doubted_share": len(doubted) / len(tested),
        "doubted_patients": int(table.patient[: len(doubted)].replace("", pd.NA).nunique()),
        "doubted_as": {f"{label} as {suggested}": int(count) for (label, suggested), count in pairs.items()},
        "under_several_labels": len(disputed),
    }
    write_metrics(metrics, "metrics/audit.json")
    print(f"{len(doubted)} of {len(tested)} labels to check, {len(disputed)} pictures under several labels: {AUDIT}, {SHEET}")


if __name__ == "__main__":
    main()
