"""Every figure of merit, computed in one place: from labels and probabilities, plain or weighted.

`score` takes a weight a picture, so that a bootstrap is one call with a row of weights a resample; without weights each
picture counts once. A figure without a definition (the recall of a class with no picture) is NaN, and a macro average is
the mean over the classes that have one; so are scikit-learn's balanced_accuracy_score and, by default, f1_score.
"""

import numpy as np
import pandas as pd

METRICS = {
    "accuracy": "pictures whose most probable class is their label",
    "macro_f1": "mean of the classes' F1",
    "balanced_accuracy": "mean of the classes' recall",
    "macro_auroc": "mean of the classes' area under the ROC curve, one class against the rest (Hanley and McNeil 1982)",
    "ece": "expected calibration error: |accuracy - confidence| averaged over equal-width bins of confidence (Guo et al. 2017)",
    "brier": "squared distance of the probabilities from the truth, summed over classes: 0 to 2 (Brier 1950)",
}
CLASS_METRICS = {
    "precision": "TP / (TP + FP); 0 for a class that occurs and is never predicted",
    "recall": "TP / (TP + FN)",
    "f1": "2 TP / (2 TP + FP + FN)",
    "specificity": "TN / (TN + FP)",
    "support": "TP + FN, pictures of the class",
}


def score(labels: np.ndarray, probabilities: np.ndarray, classes: list[str], bins: int, weights: np.ndarray | None = None) -> dict:
    """All of METRICS, and CLASS_METRICS as `<class>.<metric>`, of the same predictions.

    labels: int [N], indices into classes; probabilities: float [N, K], K = len(classes); bins: those of ECE;
    weights: >= 0, [N] or [R, N] for R weightings at once. Returns name -> float, or name -> float [R] for [R, N].
    """
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, float)
    predicted, confidence = top(probabilities)
    truth = np.eye(len(classes))[labels]

    total = weights.sum(-1)
    cells = np.eye(len(classes) ** 2)[labels * len(classes) + predicted]
    confusion = (weights @ cells).reshape(*weights.shape[:-1], len(classes), len(classes))
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, guesses = confusion.sum(-1), confusion.sum(-2)

    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, support + guesses)
    precision = np.where((guesses == 0) & (support > 0), 0.0, _ratio(hits, guesses))
    negatives = total[..., None] - support
    specificity = _ratio(negatives - (guesses - hits), negatives)

    gaps = (predicted == labels) - confidence
    gaps = weights @ (np.eye(bins)[bin_of(confidence, bins)] * gaps[:, None])

    scores = {
        "accuracy": _ratio(hits.sum(-1), total),
        "macro_f1": defined_mean(f1),
        "balanced_accuracy": defined_mean(recall),
        "macro_auroc": defined_mean(np.stack([auroc(one, p, weights) for one, p in zip(truth.T, probabilities.T, strict=True)], -1)),
        "ece": _ratio(np.abs(gaps).sum(-1), total),
        "brier": _ratio(weights @ ((probabilities - truth) ** 2).sum(1), total),
    }
    by_class = dict(precision=precision, recall=recall, f1=f1, specificity=specificity, support=support)
    return scores | {f"{name}.{metric}": by_class[metric][..., k] for k, name in enumerate(classes) for metric in CLASS_METRICS}


def top(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class, int [N] (the first of equals), and its probability, the confidence, float [N]."""
    return probabilities.argmax(1), probabilities.max(1)


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """int [N]: the bin b of equal width, from b / bins (exclusive) to (b + 1) / bins, that each confidence lies in."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> pd.DataFrame:
    """Columns confidence, accuracy, count: means over the pictures of each bin of confidence that has any."""
    predicted, confidence = top(probabilities)
    table = pd.DataFrame({"confidence": confidence, "accuracy": predicted == labels, "bin": bin_of(confidence, bins)})
    table = table.groupby("bin").agg(confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("bin", "size"))
    return table.round(6).reset_index(drop=True)


def auroc(positive: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve: P(value of a positive > that of a negative) + P(equal) / 2.

    positive: 0 or 1, [N]; values: float [N]; weights: [N] or [R, N]. NaN where positives or negatives weigh nothing.
    """
    order = np.argsort(values, kind="stable")
    values, positive, weights = values[order], positive[order] > 0, weights[..., order]
    below = np.zeros((*weights.shape[:-1], len(values) + 1))
    np.cumsum(weights * ~positive, axis=-1, out=below[..., 1:])
    ties = values[positive]
    beaten = (below[..., np.searchsorted(values, ties, "left")] + below[..., np.searchsorted(values, ties, "right")]) / 2
    weights = weights[..., positive]
    return _ratio((weights * beaten).sum(-1), weights.sum(-1) * below[..., -1])


def defined_mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))


def or_null(value: float | np.ndarray) -> float | None:
    """The number for JSON, which knows no NaN."""
    return None if np.isnan(value) else float(value)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole)  # 0 / 0 is NaN: no definition
