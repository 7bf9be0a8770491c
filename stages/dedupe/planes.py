"""The plane of every picture: annotated, propagated among copies, or predicted from its gradients."""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.dedupe.on_disk import OnDisk
from stages.gradients import gradients

FOLDS = 5
BLOCK = 4096  # pictures whose plane is predicted at once


def find_planes(table: pd.DataFrame, thumbnails: np.ndarray | OnDisk) -> tuple[pd.DataFrame, float | None]:
    """Planes for all rows of a table with plane (empty where unknown), cluster, group and kept, in thumbnails' order.

    Returns plane, plane_source, plane_confidence (the share of agreeing annotations, or the predicted probability) and
    the accuracy of the prediction on annotated distinct pictures, cross-validated with no group on both sides; None,
    and planes left empty, where the annotations are too few to learn from.
    """
    annotated = table[table.plane != ""]
    votes = annotated.groupby(["cluster", "plane"]).size().reset_index(name="votes")
    votes["share"] = votes.votes / votes.groupby("cluster").votes.transform("sum")
    votes = votes.sort_values(["cluster", "votes", "plane"], ascending=[True, False, True]).drop_duplicates("cluster").set_index("cluster")

    result = pd.DataFrame({"plane": table.cluster.map(votes.plane).astype("string").fillna(""), "plane_source": "propagated"})
    result["plane_confidence"] = table.cluster.map(votes.share)
    own = table.plane != ""
    own_planes = table.plane[own].to_frame().assign(source="annotated", confidence=1.0)
    result.loc[own, ["plane", "plane_source", "plane_confidence"]] = own_planes.to_numpy()

    unknown = result.plane == ""
    result.loc[unknown, "plane_source"] = ""
    learn = table[~unknown].drop_duplicates("cluster")
    classes = result.plane[learn.index].groupby(result.plane[learn.index])
    if classes.ngroups < 2 or learn.group.groupby(result.plane[learn.index]).nunique().min() < FOLDS:
        return result, None

    model = classifier(len(learn))
    features, planes = gradients(thumbnails[learn.index]), result.plane[learn.index].to_numpy(dtype=str)
    predicted = cross_val_predict(model, features, planes, groups=learn.group, cv=StratifiedGroupKFold(FOLDS))
    if unknown.any():
        model.fit(features, planes)
        rows = np.flatnonzero(unknown)
        blocks = [gradients(thumbnails[rows[i : i + BLOCK]]) for i in range(0, len(rows), BLOCK)]
        probability = np.concatenate([model.predict_proba(block) for block in blocks])
        result.loc[unknown, "plane"] = model.classes_[probability.argmax(1)]
        result.loc[unknown, "plane_source"] = "predicted"
        result.loc[unknown, "plane_confidence"] = probability.max(1).astype(float).round(4)
    return result, float((predicted == planes).mean())


def classifier(pictures: int) -> Pipeline:
    """What tells planes apart by gradients, for so many pictures to learn from."""
    components = min(100, pictures // 2)  # no more than a fold of the cross-validation has pictures
    reduction = PCA(components, svd_solver="randomized", random_state=0)
    return make_pipeline(StandardScaler(), reduction, LogisticRegression(C=0.1, max_iter=500))
