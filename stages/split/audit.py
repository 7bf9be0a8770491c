"""What stands on both sides of a split, and how classes and planes are spread."""

import pandas as pd


def violations(placed: pd.DataFrame) -> list[tuple[int, int]]:
    """(fold, unit) of every unit that has pictures in more than one role of a fold."""
    roles = placed.groupby(["fold", "unit"]).role.nunique()
    return list(roles[roles > 1].index)


def audit(placed: pd.DataFrame) -> dict:
    """Leaks between training (validation counted in) and test, summed over folds, and class and plane counts a fold.

    placed holds a row a picture and fold: the table's columns, fold and role.
    """
    leaks = {"test_pictures": 0, "test_pictures_mirrored": 0, "training_pictures": 0, "patients": 0, "test_pictures_of_these_patients": 0}
    folds = {}
    for fold, rows in placed.groupby("fold"):
        test, train = rows[rows.role == "test"], rows[rows.role != "test"]
        seen = test[test.cluster.isin(train.cluster)]
        upright = set(zip(train.cluster, train.orientation, strict=True))
        patients = (set(test.patient) & set(train.patient)) - {""}
        leaks["test_pictures"] += len(seen)
        # Not there in the same orientation, only mirrored or flipped: what hashes of any kind overlook.
        leaks["test_pictures_mirrored"] += sum((row.cluster, row.orientation) not in upright for row in seen.itertuples())
        leaks["training_pictures"] += int(train.cluster.isin(test.cluster).sum())
        leaks["patients"] += len(patients)
        leaks["test_pictures_of_these_patients"] += int(test.patient.isin(patients).sum())
        folds[f"fold {fold}"] = {role: _counts(rows[rows.role == role]) for role in ("train", "validation", "test")}
    return {"leaks": leaks, "tables": folds}


def _counts(rows: pd.DataFrame) -> dict:
    return {
        "pictures": len(rows),
        "units": rows.unit.nunique(),
        "labels": rows.label.value_counts().sort_index().to_dict(),
        "planes": rows.plane.replace("", "unknown").value_counts().sort_index().to_dict(),
    }
