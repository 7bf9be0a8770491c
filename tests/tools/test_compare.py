import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from synthetic import ROOT

from stages.catalog import CLUSTERS, PREDICTIONS, write_table
from tools import compare

CLASSES = ["glioma", "notumor"]
N, A_GROUP = 2000, 10
GROUPS = np.arange(N) // A_GROUP


def predictions(right: np.ndarray) -> pd.DataFrame:
    """Test predictions of N pictures, right or wrong as said."""
    label = GROUPS % 2
    p = np.where(right == (label == 0), 0.9, 0.1)
    names = np.array(CLASSES)
    ids = [f"set/{n:04}.png" for n in range(N)]
    return pd.DataFrame(
        {
            "image_id": ids,
            "fold": GROUPS % 5,
            "label": names[label],
            "predicted": names[(p < 0.5).astype(int)],
            "p_glioma": p,
            "p_notumor": 1 - p,
        }
    )


def clusters_of(table: pd.DataFrame, groups: np.ndarray = GROUPS) -> pd.DataFrame:
    """Of two groups in four the patient is known."""
    patients = np.where(groups % 4 > 1, "", np.char.add("P", groups.astype(str)))
    return pd.DataFrame({"image_id": table.image_id, "group": groups, "patient": patients})


def compared(base_right: np.ndarray, other_right: np.ndarray) -> compare.Comparison:
    base, other = predictions(base_right), predictions(other_right)
    return compare.compare("other", base, clusters_of(base), other, clusters_of(other), 500, 0)


def said(row: compare.Comparison) -> str:
    return compare.verdict(row, row.p_mcnemar, row.p_bootstrap)


def test_better_worse_and_cannot_tell():
    random = np.random.default_rng(0)
    base, much, same = (random.random(N) < share for share in (0.85, 0.95, 0.85))
    better, worse, equal = compared(base, much), compared(much, base), compared(base, same)
    assert (said(better), said(worse), said(equal)) == ("better", "worse", "cannot tell")
    assert better.accuracy[0] == pytest.approx(much.mean() - base.mean())
    assert better.accuracy[1] < better.accuracy[0] < better.accuracy[2]
    assert better.macro_f1[0] == pytest.approx(-worse.macro_f1[0])
    assert (better.pictures, better.groups) == (N, N // A_GROUP)


def test_what_whole_patients_decide_weighs_as_patients_and_not_as_pictures():
    wrong, right = np.isin(GROUPS, [3, 4, 5]), np.isin(GROUPS, [0])  # 30 pictures lost, 10 won: of four patients
    row = compared(~right, ~wrong)
    assert binomtest(10, 40).pvalue < 0.01, "picture by picture it would be a finding"
    assert said(row) == "cannot tell"


def test_known_patients_are_counted_by_the_votes_of_their_pictures():
    wrong = np.isin(GROUPS, [4, 6])  # of which one patient is known
    few = np.isin(np.arange(N), np.flatnonzero(GROUPS == 8)[:3])  # too few to turn the vote
    row = compared(~few, ~(wrong | few))
    assert (row.patients, row.gained, row.lost) == (N // A_GROUP // 2, 0, 1)
    assert "| 0, 1 of 100 |" in compare.to_markdown("base", [row])


def test_groups_of_one_picture_give_mcnemars_test():
    base, other = np.arange(100) >= 10, np.arange(100) >= 30
    base[50:55] = False  # 20 lost, 5 won
    assert compare.mcnemar(base, other, np.arange(100)) == pytest.approx(0.0027, abs=1e-4)  # chi2 = 15^2 / 25 = 9


def test_holm_multiplies_by_how_many_are_left():
    assert compare.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert compare.holm([0.9]) == [0.9]


def test_only_common_pictures_count_and_groups_of_either_side_are_joined():
    base, other = predictions(np.ones(N, bool)), predictions(np.ones(N, bool))
    coarse = clusters_of(base, GROUPS // 2)
    row = compare.compare("other", base, clusters_of(base), other.iloc[:1000], coarse, 100, 0)
    assert (row.pictures, row.groups) == (1000, 1000 // A_GROUP // 2)
    with pytest.raises(SystemExit, match="shares no test picture"):
        compare.compare("other", base.iloc[1000:], clusters_of(base), other.iloc[:1000], coarse, 100, 0)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git and DVC repository with two results, at the tags bad and good, and something else in the workspace."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    random = np.random.default_rng(0)
    for tag, share in (("bad", 0.8), ("good", 0.95), ("later", 0.5)):
        table = predictions(random.random(N) < share)
        write_table(table, PREDICTIONS)
        write_table(clusters_of(table), CLUSTERS)
        subprocess.run(["dvc", "add", "-q", PREDICTIONS, CLUSTERS], check=True)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", tag], check=True)
        subprocess.run(["git", "tag", tag], check=True)


def test_the_command_compares_revisions_and_the_workspace(repository, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "bad", "good", "workspace"])
    compare.main()
    good, workspace = capsys.readouterr().out.splitlines()[-2:]
    assert good.startswith("| good | 2,000 (200) | +0.1") and good.endswith("**better** |")
    assert workspace.startswith("| workspace ") and workspace.endswith("**worse** |")


@pytest.mark.parametrize("revision", ["nowhere", "workspace"])
def test_results_that_are_not_there_are_named(repository, monkeypatch, revision):
    Path(PREDICTIONS).unlink()
    with pytest.raises(SystemExit, match=revision if revision == "nowhere" else "data/predictions.csv: not there"):
        compare.read_predictions(revision)
