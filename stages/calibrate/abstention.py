"""What is gained by leaving the least confident pictures to a human."""

import numpy as np
import pandas as pd

from stages.predictions import Predictions
from stages.scores import top

SHARES = np.round(np.arange(1, 0, -0.01), 2)  # of the pictures that are answered


def curve(predictions: Predictions) -> pd.DataFrame:
    """Columns class ("all", or the actual class), answered (share), accuracy (of the answers), confidence (of the least sure answer).

    The images are answered by falling confidence, whatever their class; among those of one class the accuracy is its recall
    (El-Yaniv and Wiener 2010: risk and coverage).
    """
    labels, classes = predictions.labels, predictions.classes
    predicted, confidence = top(predictions.probabilities)
    order = np.argsort(-confidence, kind="stable")
    rows = []
    for share in SHARES:
        answered = order[: max(1, round(share * len(labels)))]
        right, actual, least = predicted[answered] == labels[answered], labels[answered], confidence[answered[-1]]
        rows.append(("all", share, right.mean(), least))
        rows += [(name, share, right[actual == k].mean(), least) for k, name in enumerate(classes) if (actual == k).any()]
    return pd.DataFrame(rows, columns=["class", "answered", "accuracy", "confidence"]).sort_values("class", kind="stable").round(6)
