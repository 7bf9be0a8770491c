"""The plane of every picture: annotated, propagated among copies, or predicted from its gradients."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.catalog import PLANES
from stages.dedupe.on_disk import OnDisk
from stages.gradients import gradients

NAMES = ["", *PLANES]
SOURCES = ["", "annotated", "propagated", "predicted"]
FOLDS = 5
LEARNT = 20_000  # pictures to learn from at most: more are drawn from, which bounds the memory
BLOCK = 4096  # pictures whose features are computed at once


def find_planes(table: pd.DataFrame, thumbnails: np.ndarray | OnDisk) -> tuple[pd.DataFrame, float | None]:
    """Planes for all rows of a table with plane (empty where unknown), cluster, group and kept, in thumbnails' order.

    Returns plane, plane_source, plane_confidence (the share of agreeing annotations, or the predicted probability) and
    the accuracy of the prediction on annotated distinct pictures, cross-validated with no group on both sides; None,
    and planes left empty, where the annotations are too few to learn from.
    """
    own = pd.Categorical(table.plane, NAMES).codes
    annotated = table[own > 0].assign(plane=own[own > 0])
    votes = annotated.groupby(["cluster", "plane"]).size().reset_index(name="votes")
    votes["share"] = votes.votes / votes.groupby("cluster").votes.transform("sum")
    votes = votes.sort_values(["cluster", "votes", "plane"], ascending=[True, False, True]).drop_duplicates("cluster").set_index("cluster")

    plane = np.where(own > 0, own, votes.plane.reindex(table.cluster, fill_value=0))
    source = np.where(own > 0, SOURCES.index("annotated"), np.where(plane > 0, SOURCES.index("propagated"), 0))
    confidence = np.where(own > 0, 1.0, votes.share.reindex(table.cluster))

    learn = table[plane > 0].drop_duplicates("cluster")
    if len(learn) > LEARNT:
        learn = learn.sample(LEARNT, random_state=0).sort_index()
    known, accuracy = plane[learn.index], None
    groups = learn.group.groupby(known).nunique()
    if len(groups) > 1 and groups.min() >= FOLDS:
        model, features = classifier(len(learn)), np.concatenate(list(_gradients(thumbnails, learn.index.to_numpy())))
        predicted = cross_val_predict(model, features, known, groups=learn.group, cv=StratifiedGroupKFold(FOLDS))
        accuracy = float((predicted == known).mean())
        unknown = np.flatnonzero(plane == 0)
        if len(unknown):
            model.fit(features, known)
            probability = np.concatenate([model.predict_proba(block) for block in _gradients(thumbnails, unknown)])
            plane[unknown], source[unknown] = model.classes_[probability.argmax(1)], SOURCES.index("predicted")
            confidence[unknown] = probability.max(1).astype(float).round(4)
    names = {"plane": pd.Categorical.from_codes(plane, NAMES), "plane_source": pd.Categorical.from_codes(source, SOURCES)}
    return pd.DataFrame({**names, "plane_confidence": confidence}), accuracy


def _gradients(thumbnails: np.ndarray | OnDisk, rows: np.ndarray) -> Iterator[np.ndarray]:
    return (gradients(thumbnails[rows[i : i + BLOCK]]) for i in range(0, len(rows), BLOCK))


def classifier(pictures: int) -> Pipeline:
    """What tells planes apart by gradients, for so many pictures to learn from."""
    components = min(100, pictures // 2)  # no more than a fold of the cross-validation has pictures
    reduction = PCA(components, svd_solver="randomized", random_state=0)
    return make_pipeline(StandardScaler(), reduction, LogisticRegression(C=0.1, max_iter=500))
