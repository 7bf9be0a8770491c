"""Which test pictures are explained."""

from hashlib import sha256

import pandas as pd


def choose(predictions: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many pictures of each label and outcome: image_id, fold, label, predicted, probability, outcome (right, wrong), key.

    key is a hash of image_id and fold, and the rows with the smallest are taken: as good as at random, but the same ones in every
    experiment that predicts them alike, so that experiments can be compared. Sorted by label, outcome and key.
    """
    table = predictions[["image_id", "fold", "label", "predicted"]].assign(
        probability=predictions.filter(regex="^p_").max(axis=1),  # of the predicted class
        outcome=(predictions.label == predictions.predicted).map({True: "right", False: "wrong"}),
        key=[sha256(f"{row.image_id} {row.fold}".encode()).hexdigest() for row in predictions.itertuples()],
    )
    return table.sort_values(["label", "outcome", "key"]).groupby(["label", "outcome"]).head(most).reset_index(drop=True)
