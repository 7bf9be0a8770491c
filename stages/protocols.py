"""The four protocols: kfold, holdout, the published folders, and other sources to test on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.params import Split


def make_folds(table: pd.DataFrame, params: Split) -> tuple[pd.DataFrame, dict[str, int]]:
    """Folds of a table with image_id, source, label, published_split, augmented_from, cluster, kept, plane and unit.

    Returns the rows (image_id, fold, role) sorted by fold and image_id, and how many pictures were left out and why.
    """
    admitted = _of_kept_label(table) if params.distinct else table
    originals = admitted[admitted.augmented_from == ""]
    rng = np.random.default_rng(params.seed)
    pool = originals[originals.kept] if params.distinct and params.protocol in ("kfold", "holdout") else originals
    match params.protocol:
        case "kfold":
            tests = _shares(pool, [1 / params.folds] * params.folds, rng)
            if params.within is not None:
                pool = pool[~tests[params.within]]
                tests = _shares(pool, [1 / params.folds] * params.folds, rng)
            sides = [(~test, test) for test in tests]
        case "holdout":
            test = _share(pool, params.test_fraction, rng)
            sides = [(~test, test)]
        case "published":
            sides = [(pool.published_split == "train", pool.published_split == "test")]
        case "source":
            _check_sources(table, params)
            sides = [(pool.source.isin(params.train_sources), pool.source.isin(params.test_sources))]

    folds = []
    for number, (trains, tests) in enumerate(sides):
        train, test = _by_side(pool[trains], pool[tests], params)
        if train.empty or test.empty:
            raise SystemExit(
                f"split.protocol={params.protocol}: fold {number} has {len(train)} training and {len(test)} test pictures; "
                "check split in params.yaml"
            )
        _check_classes("train_planes", number, pool[trains], train, params)
        _check_classes("test_planes", number, pool[tests], test, params)
        held = _share(train, params.validation_fraction, rng)
        untrained = sorted(set(pool.label) - set(train.label[~held]))
        if untrained:
            raise SystemExit(
                f"split.protocol={params.protocol}: fold {number} has no training picture of {', '.join(untrained)}; "
                "fewer folds, smaller fractions, another split.seed or group_by may leave some, or data.labels may join classes"
            )
        if not held.any():
            raise SystemExit(
                f"split.validation_fraction={params.validation_fraction:g}: fold {number} has nothing to validate with, since its "
                f"{train.unit.nunique()} units are too few or too large for so small a share; raise it"
            )
        roles = [(train[~held], "train"), (train[held], "validation"), (test, "test")]
        if params.augmented:
            roles.append((_augmented_copies(admitted, train[~held], train[held], test, params), "train"))
        folds += [rows[["image_id"]].assign(fold=number, role=role) for rows, role in roles]
    folds = pd.concat(folds).sort_values(["fold", "image_id"], ignore_index=True)

    used = folds.image_id
    unused = table[~table.image_id.isin(used)]
    excluded = {
        "augmented": int((unused.augmented_from != "").sum()),
        "copies": int(((unused.augmented_from == "") & unused.cluster.isin(table.cluster[table.image_id.isin(used)])).sum()),
    }
    return folds, excluded | {"other": len(unused) - sum(excluded.values())}


def _of_kept_label(table: pd.DataFrame) -> pd.DataFrame:
    # Of a picture that occurs under several labels, what dedupe.on_conflict left: the rows of one label, or none.
    return table[table.label == table.cluster.map(table[table.kept].set_index("cluster").label)]


def _by_side(train: pd.DataFrame, test: pd.DataFrame, params: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    # Where the sides are not shares of one pool, the picture that dedupe keeps may lie on the other side, so each side keeps its own copy
    # of a cluster; and a unit that stands on both sides stays in the published test, or in the sources that train, and leaves the other.
    train, test = _of_planes(train, params.train_planes), _of_planes(test, params.test_planes)
    if params.distinct:
        order = {"by": ["kept", "image_id"], "ascending": [False, True]}
        train, test = (side.sort_values(**order).drop_duplicates("cluster").sort_index() for side in (train, test))
    if params.protocol == "source":
        return train, test[~test.unit.isin(train.unit)]
    return train[~train.unit.isin(test.unit)], test


def _of_planes(side: pd.DataFrame, planes: Sequence[str]) -> pd.DataFrame:
    return side[side.plane.isin(planes)] if planes else side


def _augmented_copies(
    table: pd.DataFrame, train: pd.DataFrame, validation: pd.DataFrame, test: pd.DataFrame, params: Split
) -> pd.DataFrame:
    copies = table[(table.augmented_from != "") & table.cluster.isin(train.cluster)]
    if params.group_by == "none":
        return copies
    return copies[~copies.unit.isin(test.unit) & ~copies.unit.isin(validation.unit)]


def _share(pool: pd.DataFrame, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Boolean [N]: about a fraction of the pictures, whole units, classes in proportion."""
    return _shares(pool, [fraction, 1 - fraction], rng)[0]


def _shares(pool: pd.DataFrame, fractions: list[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Disjoint boolean arrays [N] that cover the pool, of about the given fractions.

    Whole units go, the largest first and equals in random order, to where the class counts then lie closest to their
    targets: the greedy rule of scikit-learn's StratifiedGroupKFold, for any fractions.
    """
    counts = pd.crosstab(pool.unit, pool.label)
    counts = counts.iloc[rng.permutation(len(counts))]
    counts = counts.iloc[np.argsort(-counts.sum(axis=1).to_numpy(), kind="stable")]
    totals = counts.sum().to_numpy(float)
    targets = np.outer(fractions, totals)
    filled = np.zeros_like(targets)
    place = {}
    for unit, count in zip(counts.index, counts.to_numpy(float), strict=True):
        # Squared miss of every class's target, relative to the class, if this unit went there.
        gain = (((filled + count - targets) ** 2 - (filled - targets) ** 2) / np.maximum(targets * totals, 1e-9)).sum(1)
        gain[np.array(fractions) == 0] = np.inf
        choice = int(gain.argmin())
        filled[choice] += count
        place[unit] = choice
    places = pool.unit.map(place).to_numpy()
    return [places == number for number in range(len(fractions))]


def _check_sources(table: pd.DataFrame, params: Split) -> None:
    known = sorted(table.source.unique())
    for key in ("train_sources", "test_sources"):
        chosen = getattr(params, key)
        if not chosen or set(chosen) - set(known):
            raise SystemExit(f"split.{key} is {chosen}: protocol source needs names out of data.sources, here {', '.join(known)}")


def _check_classes(key: str, fold: int, pool: pd.DataFrame, side: pd.DataFrame, params: Split) -> None:
    planes = getattr(params, key)
    lacking = sorted(set(pool.label) - set(side.label))
    if planes and lacking:
        raise SystemExit(
            f"split.{key} is [{', '.join(planes)}]: fold {fold} has no picture of {', '.join(lacking)} there; name more planes or fewer folds"
        )
