"""Which labels deserve a second look."""

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from stages.predictions import to_arrays


def suspects(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """The pictures whose label confident learning doubts, most suspicious first (Northcutt et al. 2021, doi 10.1613/jair.1.12125).

    predictions: a row a picture, out of fold (columns image_id, label, p_<class>). Returns the columns image_id, label,
    suggested (the most probable class), p_label, p_suggested.
    """
    labels, probabilities = to_arrays(predictions, classes)
    probabilities = probabilities / probabilities.sum(1, keepdims=True)  # six decimals do not add up to 1 exactly
    doubted = find_label_issues(labels, probabilities, n_jobs=1)
    table = predictions[["image_id", "label"]].assign(
        suggested=np.array(classes)[probabilities.argmax(1)],
        p_label=probabilities[np.arange(len(labels)), labels].round(6),
        p_suggested=probabilities.max(1).round(6),
        quality=get_label_quality_scores(labels, probabilities, method="normalized_margin"),
    )
    return table[doubted].sort_values(["quality", "image_id"]).drop(columns="quality").reset_index(drop=True)
