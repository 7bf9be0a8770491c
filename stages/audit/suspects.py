"""Which labels deserve a second look."""

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from stages.predictions import Predictions


def suspects(image_ids: pd.Series, predictions: Predictions) -> pd.DataFrame:
    """The images whose label confident learning doubts, most suspicious first (Northcutt et al. 2021, doi 10.1613/jair.1.12125).

    predictions: out of fold, of these images. Returns the columns image_id, label,
    suggested (the most probable class), p_label, p_suggested.
    """
    labels, classes = predictions.labels, np.array(predictions.classes)
    probabilities = predictions.probabilities / predictions.probabilities.sum(1, keepdims=True)  # six decimals do not add up to 1 exactly
    doubted = find_label_issues(labels, probabilities, n_jobs=1)
    table = pd.DataFrame({"image_id": image_ids, "label": classes[labels]}).assign(
        suggested=classes[probabilities.argmax(1)],
        p_label=probabilities[np.arange(len(labels)), labels].round(6),
        p_suggested=probabilities.max(1).round(6),
        quality=get_label_quality_scores(labels, probabilities, method="normalized_margin"),
    )
    return table[doubted].sort_values(["quality", "image_id"]).drop(columns="quality").reset_index(drop=True)
