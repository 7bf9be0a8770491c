"""Report what the published sets leak, what each way of splitting them lets through, and what that is worth to a simple classifier.

Reads the merged pictures and their clusters; writes metrics/leaks.json and a contact sheet, metrics/plots/leaks.png.
"""

import numpy as np
import pandas as pd

from stages.catalog import CATALOG, CLUSTERS, read_table, write_metrics
from stages.demonstration import is_demonstration
from stages.gradients import gradients
from stages.leaks import sheet
from stages.leaks.classifier import predict, score_parts
from stages.leaks.counts import closest, count_copies, published_pairs, shared, tally
from stages.leaks.sides import SPLITS, Side, look, published_side, split_sides
from stages.params import load_params


def main() -> None:
    params = load_params()
    demonstration = is_demonstration()
    catalog = read_table(CATALOG).drop(columns=["plane", "patient"])
    table = catalog.merge(read_table(CLUSTERS), on="image_id", validate="one_to_one")
    thumbnails = np.load(CATALOG.with_name("thumbnails.npy"))
    own = table[table.augmented_from == ""]
    pairs = published_pairs(own, table, thumbnails)
    features, classes = gradients(thumbnails), sorted(table.label.unique())

    def measure(sides: list[Side], found: pd.DataFrame) -> dict:
        predicted = predict(features, table.label.to_numpy(str), sides)
        return score_parts(table, sides, predicted, found, classes, params.aggregate)

    sets, published = {}, {}
    for name, rows in [*own.groupby("source"), ("merged", own)]:
        copies = count_copies(rows, table, thumbnails)
        sets[name] = {"pictures": len(rows), "distinct": rows.cluster.nunique(), "groups": rows.group.nunique(), "copies": copies}
        sets[name] |= {"in_other_sets": shared(rows, own[own.source != name])} if name != "merged" else {}
        if side := published_side(rows):
            found = look(table, [side])
            inside = pairs if name == "merged" else pairs[(pairs.test_source == name) & (pairs.train_source == name)]
            sets[name]["published"] = {"training": len(side.train), **tally(found), "closest_copy": closest(inside)}
            if name != "merged":
                # The parts stay those of the published folders, so that the same pictures are compared.
                published[name] = {
                    "as_published": measure([side], found),
                    "copies_removed": measure([side.without_copies(table)], found),
                    "as_many_others_removed": measure([side.without_others(table, params.split.seed)], found),
                }

    splits, compared = {}, {}
    for name, choice in SPLITS.items():
        sides = split_sides(table, params.split, choice)
        found = look(table, sides)
        splits[name] = {"folds": len(sides), **tally(found)}
        compared[name] = measure(sides, found)

    classifier = {"published": published, "splits": compared}
    report = {"demonstration": demonstration, "sets": sets, "splits": splits, "simple_classifier": classifier}
    write_metrics(report, "metrics/leaks.json")
    sheet.draw(table, pairs, demonstration, "metrics/plots/leaks.png")
    print("; ".join(f"{name} split: {100 * splits[name]['share']['picture']:.1f} % of the test pictures in training" for name in SPLITS))


if __name__ == "__main__":
    main()
