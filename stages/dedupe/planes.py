"""The plane of every picture: annotated, propagated among copies, or predicted from what its head looks like."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from stages.catalog import PLANES

NAMES = ["", *PLANES]
SOURCES = ["", "annotated", "propagated", "predicted"]
FOLDS = 5
LEARNT = 20_000  # pictures to learn from at most: more are drawn from, which bounds the memory
SURE = 0.8  # probability below which a plane stays empty


def find_planes(table: pd.DataFrame, searched: np.ndarray, looks: np.ndarray) -> tuple[pd.DataFrame, dict]:
    """Planes for all rows of a table with plane (empty where unknown), cluster, group and patient.

    searched: the rows that looks, descriptors [S, F] of heads, are of. Returns plane, plane_source and plane_confidence (the share of agreeing annotations,
    or the predicted probability), and counts, with the accuracy of the prediction on annotated distinct pictures, cross-validated with no group on both
    sides, of those whose patient is known and of the others. Where annotations are too few to learn from, or the prediction is not sure, planes stay empty.
    """
    own = pd.Categorical(table.plane, NAMES).codes
    annotated = table[own > 0].assign(plane=own[own > 0])
    votes = annotated.groupby(["cluster", "plane"]).size().reset_index(name="votes")
    votes["share"] = votes.votes / votes.groupby("cluster").votes.transform("sum")
    votes = votes.sort_values(["cluster", "votes", "plane"], ascending=[True, False, True]).drop_duplicates("cluster").set_index("cluster")

    plane = np.where(own > 0, own, votes.plane.reindex(table.cluster, fill_value=0))
    source = np.where(own > 0, SOURCES.index("annotated"), np.where(plane > 0, SOURCES.index("propagated"), 0))
    confidence = np.where(own > 0, 1.0, votes.share.reindex(table.cluster))

    first = ~table.cluster.iloc[searched].duplicated().to_numpy()  # one picture of each cluster
    rows, looks = searched[first], looks[first]
    known = plane[rows] > 0
    learn, accuracy = _drawn(np.flatnonzero(known)), None
    groups = table.group.iloc[rows[learn]].groupby(plane[rows[learn]]).nunique()
    if len(groups) > 1 and groups.min() >= FOLDS:
        with threadpool_limits(1):  # the order of a sum must not hang on the number of cores
            truth, group = plane[rows[learn]], table.group.to_numpy()[rows[learn]]
            probability = cross_val_predict(
                _classifier(), looks[learn], truth, groups=group, cv=StratifiedGroupKFold(FOLDS), method="predict_proba"
            )
            accuracy = _accuracy(np.unique(truth), truth, probability, (table.patient != "").to_numpy()[rows[learn]])
            model = _classifier().fit(looks[learn], truth)
            guess = model.predict_proba(looks[~known]) if not known.all() else np.empty((0, len(groups)))
        of = pd.Index(table.cluster.to_numpy()[rows[~known]]).get_indexer(table.cluster)
        sure = (of >= 0) & (np.append(guess.max(1), 0)[of] >= SURE)
        plane[sure] = model.classes_[guess.argmax(1)][of[sure]]
        source[sure], confidence[sure] = SOURCES.index("predicted"), guess.max(1)[of[sure]].round(2)
    names = {"plane": pd.Categorical.from_codes(plane, NAMES), "plane_source": pd.Categorical.from_codes(source, SOURCES)}
    counts = {SOURCES[number] or "unknown": int((source == number).sum()) for number in (1, 2, 3, 0)}
    return pd.DataFrame({**names, "plane_confidence": confidence}), {**counts, "accuracy_by_group": accuracy}


def _drawn(rows: np.ndarray) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(rows)[:LEARNT])


def _classifier() -> Pipeline:
    # Run until nothing moves any more: where it stops short of that hangs on the CPU.
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-8, max_iter=5000))


def _accuracy(classes: np.ndarray, truth: np.ndarray, probability: np.ndarray, patient: np.ndarray) -> dict:
    """Of pictures whose patient is known and of the others: how many, the accuracy of all, the share that is sure and the accuracy of these."""
    right, sure = classes[probability.argmax(1)] == truth, probability.max(1) >= SURE
    result = {}
    for name, part in (("known_patients", patient), ("unknown_patients", ~patient)):
        if part.any():
            result[name] = {"pictures": int(part.sum()), "all": float(right[part].mean()), "filled_in": float(sure[part].mean())}
            result[name]["of_filled_in"] = float(right[part & sure].mean()) if (part & sure).any() else None
    return result
