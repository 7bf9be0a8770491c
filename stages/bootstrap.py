"""Mean, spread and confidence interval of every metric over the folds."""

import numpy as np
import pandas as pd

from stages.predictions import Predictions
from stages.scores import defined_mean, or_null, score

INTERVAL = (0.025, 0.975)
BLOCK = 100  # resamples at once: bounds the memory, and fits the caches


def draw_groups(groups: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw as many groups as there are, with replacement, again and again.

    groups: [N], the group of each prediction. Returns int [resamples, G], how often each group was drawn, and int [N], each
    prediction's column in it. Whole groups are drawn because pictures of one patient are not independent of one another
    (cluster bootstrap: Davison and Hinkley 1997, section 3.8).
    """
    codes, names = pd.factorize(groups, sort=True)
    return np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples), codes


def summarise(predictions: Predictions, resamples: int, seed: int, bins: int) -> dict[str, dict[str, float | None]]:
    """Name of each metric of scores.score -> mean, std, low, high; None where it has no definition.

    resamples, seed: of draw_groups; bins: as for scores.score. mean and std (of the sample; 0 for a single fold) are over the
    folds. low and high enclose the middle 95 % of the same mean over the folds as the groups of all folds together are drawn anew: how much hangs on the choice of test pictures, not of training ones.
    """
    draws, codes = draw_groups(predictions.groups, resamples, seed)
    plain, drawn = [], []
    for fold in np.unique(predictions.folds):
        inside = predictions.folds == fold
        mine = predictions[inside]
        plain.append(score(mine.labels, mine.probabilities, mine.classes, bins))
        blocks = np.array_split(draws, -(-len(draws) // BLOCK))
        blocks = [score(mine.labels, mine.probabilities, mine.classes, bins, block[:, codes[inside]]) for block in blocks]
        drawn.append({name: np.concatenate([block[name] for block in blocks]) for name in plain[0]})
    metrics = {}
    for name in plain[0]:
        values, means = np.array([fold[name] for fold in plain]), defined_mean(np.stack([fold[name] for fold in drawn], -1))
        if name == "ece":  # chance only ever raises it, and a resample has more of it: centred, so that the mean lies inside
            means = (means - means.mean() + defined_mean(values)).clip(0)
        metrics[name] = {key: or_null(value) for key, value in _spread(values, means).items()}
    return metrics


def _spread(values: np.ndarray, means: np.ndarray) -> dict[str, float]:
    values, means = values[~np.isnan(values)], means[~np.isnan(means)]
    low, high = np.quantile(means, INTERVAL) if len(means) else (np.nan, np.nan)
    return {"mean": float(defined_mean(values)), "std": values.std(ddof=1) if len(values) > 1 else 0.0, "low": low, "high": high}
