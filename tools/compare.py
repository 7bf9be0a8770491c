"""Is one result better than another, or can nobody tell? A paired comparison of the same test pictures, group by group.

python -m tools.compare REV OTHER...   each a git revision, a branch, or the name of a DVC experiment; "workspace" is what lies in data/
"""

import argparse
import io
import sys
from dataclasses import dataclass

import dvc.api
import numpy as np
import pandas as pd
from dvc.exceptions import DvcException
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2

from stages.bootstrap import draw_groups
from stages.catalog import CLUSTERS, PREDICTIONS, read_table
from stages.params import load_params
from stages.predictions import class_names
from stages.scores import score

SIGNIFICANT = 0.05  # after Holm's correction
BLOCK = 100  # resamples at once: bounds the memory


@dataclass
class Comparison:
    """One result against the base: differences are other minus base, with a 95 % interval; p of the two tests; and known patients, by their votes."""

    name: str
    pictures: int
    groups: int
    accuracy: tuple[float, float, float]
    macro_f1: tuple[float, float, float]
    p_mcnemar: float
    p_bootstrap: float
    patients: int
    gained: int  # patients whose vote is right in other alone
    lost: int  # in the base alone


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="the result to compare with")
    parser.add_argument("others", nargs="+", metavar="OTHER", help="results that may be better or worse")
    arguments = parser.parse_args()

    params = load_params().aggregate
    base = read_predictions(arguments.base)
    found = [compare(name, *base, *read_predictions(name), params.resamples, params.seed) for name in arguments.others]
    print(to_markdown(arguments.base, found))


def read_predictions(revision: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test predictions at a revision, and its clusters.

    Raises SystemExit when the revision does not exist or DVC has no copy of its results.
    """
    if revision == "workspace":
        missing = [str(path) for path in (PREDICTIONS, CLUSTERS) if not path.exists()]
        if missing:
            sys.exit(f"{' and '.join(missing)}: not there; run `dvc repro` first")
        predictions, clusters = read_table(PREDICTIONS), read_table(CLUSTERS)
    else:
        try:
            predictions, clusters = (
                read_table(io.StringIO(dvc.api.read(path.as_posix(), rev=revision))) for path in (PREDICTIONS, CLUSTERS)
            )
        except (DvcException, OSError) as error:
            sys.exit(f"{revision}: {error}. `dvc exp show` lists experiments; results of another machine come with `dvc pull`")
    return predictions, clusters


def compare(
    name: str, base: pd.DataFrame, base_clusters: pd.DataFrame, other: pd.DataFrame, other_clusters: pd.DataFrame, resamples: int, seed: int
) -> Comparison:
    """Compare two tables of test predictions on the pictures that both have, each picture once a fold of both.

    Clusters: image_id, group, and patient, "" where unknown; patients are those of the base.

    Groups are joined wherever either result held pictures together, so that no dependence is lost. Two tests of the same
    question: McNemar's for clustered pairs (the modified Obuchowski test of Yang, Sun and Hardin 2010, doi 10.1002/bimj.201000035), of accuracy, and a bootstrap
    over groups, of macro-F1. Raises SystemExit when there are no common pictures or classes differ.
    """
    classes = class_names(base)
    columns = [f"p_{name}" for name in classes]
    if class_names(other) != classes:
        sys.exit(f"{name} has other classes: {', '.join(class_names(other))}")
    one, two = (table.groupby("image_id").agg({"label": "first", **dict.fromkeys(columns, "mean")}) for table in (base, other))
    both = one.join(two[columns].add_suffix(" other"), how="inner")
    both = both[both.label == two.label.reindex(both.index)]
    if both.empty:
        sys.exit(f"{name} shares no test picture with the base: nothing can be compared")

    labels = both.label.map({label: k for k, label in enumerate(classes)}).to_numpy(int)
    p_base, p_other = both[columns].to_numpy(float), both[[f"{column} other" for column in columns]].to_numpy(float)
    of_base, of_other = (clusters.set_index("image_id").reindex(both.index) for clusters in (base_clusters, other_clusters))
    groups = _joined(of_base.group.to_numpy(), of_other.group.to_numpy())
    draws, codes = draw_groups(groups, resamples, seed)
    plain = _gain(labels, p_base, p_other, classes)
    blocks = np.array_split(draws, -(-resamples // BLOCK))
    drawn = np.concatenate([_gain(labels, p_base, p_other, classes, block[:, codes]) for block in blocks])
    accuracy, macro_f1 = ((plain[k], *np.quantile(drawn[:, k], (0.025, 0.975))) for k in range(2))
    votes = _right_votes(labels, of_base.patient.to_numpy(), p_base), _right_votes(labels, of_base.patient.to_numpy(), p_other)
    beyond = min((drawn[:, 1] <= 0).mean(), (drawn[:, 1] >= 0).mean())
    return Comparison(
        name=name,
        pictures=len(both),
        groups=len(draws[0]),
        accuracy=accuracy,
        macro_f1=macro_f1,
        p_mcnemar=mcnemar(p_base.argmax(1) == labels, p_other.argmax(1) == labels, codes),
        p_bootstrap=min(1.0, 2 * max(beyond, 1 / resamples)),
        patients=len(votes[0]),
        gained=int((votes[1] & ~votes[0]).sum()),
        lost=int((votes[0] & ~votes[1]).sum()),
    )


def _right_votes(labels: np.ndarray, patients: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """bool [P]: whether the mean of a known patient's probabilities [N, K] is highest for the most frequent of the patient's labels."""
    table = pd.DataFrame(probabilities).assign(label=labels, patient=patients)
    known = table[table.patient != ""].groupby("patient")
    means = known[[*range(probabilities.shape[1])]].mean().to_numpy()
    return means.argmax(1) == known.label.agg(lambda one: one.mode()[0]).to_numpy() if len(means) else np.zeros(0, bool)


def mcnemar(base_right: np.ndarray, other_right: np.ndarray, groups: np.ndarray) -> float:
    """p of the hypothesis that two classifiers are right equally often, pictures of a group being alike.

    base_right, other_right: bool [N]; groups: int [N]. With groups of one picture it is McNemar's test (without correction).
    """
    gains = np.bincount(groups, weights=other_right.astype(float) - base_right)
    spread = (gains**2).sum()
    return float(chi2.sf(gains.sum() ** 2 / spread, df=1)) if spread else 1.0


def holm(p_values: list[float]) -> list[float]:
    """p values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    raised = [min(1.0, p_values[k] * (len(p_values) - rank)) for rank, k in enumerate(order)]
    corrected = np.maximum.accumulate(raised)
    return [float(corrected[np.flatnonzero(order == k)[0]]) for k in range(len(p_values))]


def verdict(comparison: Comparison, p_mcnemar: float, p_bootstrap: float) -> str:
    """better or worse only if both tests say so, in the same direction; p after correction."""
    gains = comparison.accuracy[0], comparison.macro_f1[0]
    if max(p_mcnemar, p_bootstrap) < SIGNIFICANT and gains[0] * gains[1] > 0:
        return "better" if gains[0] > 0 else "worse"
    return "cannot tell"


def to_markdown(base: str, comparisons: list[Comparison]) -> str:
    """A row a comparison; p after Holm's correction over the rows."""
    ps = zip(holm([c.p_mcnemar for c in comparisons]), holm([c.p_bootstrap for c in comparisons]), strict=True)
    lines = [
        f"Against {base}: differences with 95 % intervals by bootstrap over groups; p after Holm's correction.",
        "",
        "| result | pictures (groups) | accuracy | macro-F1 | patients by vote: won, lost | p, McNemar by group | p, bootstrap of macro-F1 | |",
        "| --- | ---: | :---: | :---: | ---: | ---: | ---: | --- |",
    ]
    for row, (p_mcnemar, p_bootstrap) in zip(comparisons, ps, strict=True):
        lines.append(
            f"| {row.name} | {row.pictures:,} ({row.groups}) | {_signed(row.accuracy)} | {_signed(row.macro_f1)} "
            f"| {f'{row.gained}, {row.lost} of {row.patients}' if row.patients else 'none known'} | {p_mcnemar:.4f} | {p_bootstrap:.4f} | **{verdict(row, p_mcnemar, p_bootstrap)}** |"
        )
    return "\n".join(lines)


def _signed(gain: tuple[float, float, float]) -> str:
    return f"{gain[0]:+.4f} [{gain[1]:+.4f}, {gain[2]:+.4f}]"


def _gain(labels: np.ndarray, base: np.ndarray, other: np.ndarray, classes: list[str], weights: np.ndarray | None = None) -> np.ndarray:
    """[2], or [R, 2] for weights [R, N]: by how much other is more accurate than base, and its macro-F1 higher."""
    one, two = (score(labels, probabilities, classes, 1, weights) for probabilities in (base, other))
    return np.stack([two[name] - one[name] for name in ("accuracy", "macro_f1")], -1)


def _joined(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The finest grouping that both groupings [N] refine."""

    a, b = pd.factorize(one)[0], pd.factorize(two)[0] + len(one)
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(2 * len(one),) * 2)
    return connected_components(graph, directed=False)[1][a]


if __name__ == "__main__":
    main()
