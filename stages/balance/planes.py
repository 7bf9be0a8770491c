"""Which class x plane cells are short, and the copies or weights that make up for it."""

import numpy as np
import pandas as pd

# A cell is short when it misses its target share by more than this part of it: classes are never exactly alike, and copies
# that only make up for chance would be noise.
TOLERANCE = 0.25


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of each plane within each class, label x plane; by weight, and only where the plane is known."""
    known = rows[rows.plane != ""]
    counts = known.pivot_table(index="label", columns="plane", values="weight", aggfunc="sum", fill_value=0.0)
    return counts.div(counts.sum(axis=1), axis=0)


def targets(rows: pd.DataFrame) -> pd.DataFrame:
    """The shares a class should have: the median of the other classes', so that one odd class moves nobody's target."""
    present = shares(rows)
    wanted = pd.DataFrame({label: present.drop(index=label).median() for label in present.index}).T if len(present) > 1 else present
    # Where the other classes have no plane in common to go by, a class stays as it is.
    return wanted.div(wanted.sum(axis=1), axis=0).fillna(present).rename_axis(index="label", columns="plane")


def add_copies(rows: pd.DataFrame, shift: int, rotations: list[float]) -> pd.DataFrame:
    """The training rows of one fold and changed copies of the cells that are short, until they meet their class's target shares.

    The changes are those of franceschin et al.: +shift along x, -shift along y, and the rotations, pixels of the
    stored picture and degrees. Every original is changed in one way before any is changed in a second, and in each way
    at most once, so a cell can grow to 1 + the number of changes times its originals and no further.
    """
    changes = [f"shift_x{shift:+d}", f"shift_y{-shift:+d}", *(f"rotate{angle:+g}" for angle in rotations)]
    added = [rows]
    for label, target in targets(rows).iterrows():
        cells = {plane: rows[(rows.label == label) & (rows.plane == plane)].sort_values("image_id") for plane in target.index}
        # The plane that is most in excess of its share sets how large the others must become.
        size = max((len(cell) / target[plane] for plane, cell in cells.items() if target[plane] > 0), default=0)
        total = sum(map(len, cells.values()))
        for plane, cell in cells.items():
            if len(cell) >= (1 - TOLERANCE) * total * target[plane]:
                continue
            short = round(size * target[plane]) - len(cell)
            copies = pd.concat([cell.assign(change=change, image_id=cell.origin + "#" + change) for change in changes])
            added.append(copies.head(short))
    return pd.concat(added)


def plane_weights(rows: pd.DataFrame) -> np.ndarray:
    """Sampling weights [N] that give every class its target shares and leave the class's total as it is; unknown planes weigh 1."""
    ratio = (targets(rows) / shares(rows)).replace([np.inf, -np.inf], np.nan).fillna(1.0).stack().rename("ratio")
    weight = rows[["label", "plane"]].merge(ratio.reset_index(), how="left", on=["label", "plane"]).ratio.fillna(1.0)
    per_class = weight.groupby(rows.label.to_numpy()).transform("mean")
    # A class that has none of the planes it should have stays as it is.
    return (weight / per_class).fillna(1.0).round(6).to_numpy()
