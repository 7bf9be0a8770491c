"""What leakage is worth to a simple classifier: a support vector machine on histograms of gradients of the 64 x 64 thumbnails.

No network: it costs seconds, has no epochs to choose, and is scored on the same pictures whatever it was trained on.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from stages.bootstrap import summarise
from stages.leaks.sides import Side
from stages.params import Aggregate
from stages.predictions import Predictions

COMPONENTS = 100
METRICS = ("accuracy", "macro_f1")


def predict(features: np.ndarray, labels: np.ndarray, sides: list[Side]) -> np.ndarray:
    """The predicted labels of all test pictures, side after side, each side by a classifier trained on its training pictures.

    features: float [N, D], labels: str [N].
    """
    predicted = []
    with threadpool_limits(1):  # the order of a sum must not hang on the number of cores
        for side in sides:
            model = make_pipeline(StandardScaler(), PCA(min(COMPONENTS, len(side.train) // 2), svd_solver="covariance_eigh"), SVC(C=10))
            model.fit(features[side.train], labels[side.train])
            predicted.append(model.predict(features[side.test]))
    return np.concatenate(predicted)


def score_parts(
    table: pd.DataFrame, sides: list[Side], predicted: np.ndarray, found: pd.DataFrame, classes: list[str], params: Aggregate
) -> dict:
    """Accuracy and macro-F1 of predictions, with intervals over groups, for all test pictures and for parts of them.

    found: what training has seen of each, of sides.look. The parts: distinct (one copy of each picture, the one that dedupe
    keeps; folds that test every picture only), leaked (a copy is in training), clean (none is), new_group (no picture of its
    group is). None for a part that is empty. training: pictures, mean over the sides.
    """
    rows = table.loc[np.concatenate([side.test for side in sides])]
    folds = np.repeat(np.arange(len(sides)), [len(side.test) for side in sides])
    number = {name: k for k, name in enumerate(classes)}
    chosen = np.eye(len(classes))[pd.Series(predicted).map(number)]
    predictions = Predictions(classes, rows.label.map(number).to_numpy(int), chosen, folds, rows.group.to_numpy(int))

    def metrics(part: np.ndarray) -> dict | None:
        if not part.any():
            return None
        scores = summarise(predictions[part], params.resamples, params.seed, bins=1)
        counts = rows.label[part].value_counts().sort_index().to_dict()
        return {"pictures": int(part.sum()), "groups": rows.group[part].nunique(), "labels": counts} | {
            name: scores[name] for name in METRICS
        }

    parts = {"all": np.ones(len(rows), bool)} | ({"distinct": rows.kept.to_numpy(bool)} if len(sides) > 1 else {})
    parts |= {"leaked": found.picture.to_numpy(), "clean": ~found.picture.to_numpy(), "new_group": ~found.group.to_numpy()}
    training = round(np.mean([len(side.train) for side in sides]))
    return {"training": training} | {name: metrics(part) for name, part in parts.items()}
