"""The confusion matrix of the test pictures of all folds: a table, which can be read aloud, shaded by the share of the row."""

import numpy as np

from stages.catalog import read_table
from stages.report.results import Results

TITLE = "Confusion matrix"
DENSE = 10  # classes beyond which a cell has room for its count only


def context(results: Results) -> dict:
    table = read_table("metrics/plots/confusion.csv")
    codes = {name: k for k, name in enumerate(results.classes)}
    counts = np.zeros((len(codes), len(codes)), int)
    np.add.at(counts, (table.actual.map(codes).to_numpy(int), table.predicted.map(codes).to_numpy(int)), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return {"classes": results.classes, "counts": counts.tolist(), "shares": shares.tolist(), "dense": len(codes) > DENSE}
