"""What the metrics files say, as the statements need it."""

import json
from dataclasses import dataclass
from pathlib import Path

from stages.params import Params
from stages.sources import Source, load_source

FITTED = {  # model.head: what takes the place of training
    "svm": "a support vector machine a class, fitted to the features of the frozen network; validation pictures chose C",
    "knn": "none: the nearest neighbours vote, by the features of the frozen network; validation pictures chose how many",
}
KEPT = {"best": "the epoch with the best validation macro-F1", "last": "the last epoch"}  # train.keep
APART = {  # split.group_by: what is not on both sides
    "patient": "no copy of a picture and no known patient",
    "cluster": "no copy of a picture",
    "none": "no file",
}


@dataclass(frozen=True)
class Facts:
    """The contents of the metrics files of these names, the params, the sets' registry entries and the origin of the weights."""

    params: Params
    summary: dict
    training: dict
    calibration: dict
    merge: dict
    dedupe: dict
    split: dict
    balance: dict
    leaks: dict
    shortcuts: dict
    slices: dict
    audit: dict
    explain: dict
    robustness: dict
    weights: dict
    sources: list[Source]

    @property
    def classes(self) -> list[str]:
        return list(self.summary["classes"])

    @property
    def kinds(self) -> str:
        """Public, synthetic or both: what the sets are."""
        return " and ".join(sorted({"synthetic" if source.archive.phantom else "public" for source in self.sources}))


def read_facts(params: Params) -> Facts:
    return Facts(
        params=params,
        summary=_read("metrics/summary.json"),
        training=_read("metrics/train.json"),
        calibration=_read("metrics/calibration.json"),
        merge=_read("metrics/merge.json"),
        dedupe=_read("metrics/dedupe.json"),
        split=_read("metrics/split.json"),
        balance=_read("metrics/balance.json"),
        leaks=_read("metrics/leaks.json"),
        shortcuts=_read("metrics/shortcuts.json"),
        slices=_read("metrics/slices.json"),
        audit=_read("metrics/audit.json"),
        explain=_read("metrics/explain.json"),
        robustness=_read("metrics/robustness.json"),
        weights=_read("data/weights/weights.json"),
        sources=[load_source(name) for name in params.data.sources],
    )


def assignment(facts: Facts) -> str:
    """Where the test pictures come from, and which planes are trained on and tested on."""
    split = facts.params.split
    details = {
        "kfold": "" if split.within is None else f"without the test pictures of fold {split.within}",
        "holdout": f"{split.test_fraction:.0%} tested",
        "published": "the folders that the sets call training and testing",
        "source": f"trained on {', '.join(split.train_sources)}, tested on {', '.join(split.test_sources)}",
    }
    planes = {"trained": split.train_planes, "tested": split.test_planes}
    parts = [split.protocol, details[split.protocol], f"{facts.summary['folds']} fold(s)"]
    parts += [f"{side} on {' and '.join(chosen)} pictures only" for side, chosen in planes.items() if chosen]
    return ", ".join(filter(None, parts))


def training_pictures(facts: Facts) -> str:
    """What is trained on beside one row a picture: the copies that the sets ship, and what evens out the planes; starts with "; "."""
    shipped = facts.dedupe["augmented"] - facts.split["excluded"]["augmented"]
    balanced = {
        "none": "",
        "planes": f"; {facts.balance['generated']:,} shifted and rotated copies even out the planes of the classes",
        "weights": "; weights of the pictures even out the planes of the classes",
    }
    return (f"; {shipped:,} augmented copies that the sets ship" if shipped else "") + balanced[facts.balance["method"]]


def estimate(figure: dict) -> str:
    """A figure's mean with its interval."""
    return "undefined" if figure["mean"] is None else f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def changed(facts: Facts) -> str:
    """What is left of macro-F1 at worst when the test pictures are changed."""
    unchanged, worst = facts.robustness["unchanged"], facts.robustness["changes"][0]
    if unchanged["macro_f1"] is None:
        return "changed pictures were not scored"
    return (
        f"macro-F1 of {facts.robustness['pictures']:,} test pictures {unchanged['macro_f1']:.3f} as they are, at worst {worst['macro_f1']:.3f} changed "
        f"({worst['change']}, {worst['strength']}); the others: metrics/robustness.json"
    )


def of_each_seed(summary: dict) -> str:
    """What one seed's models alone reach, with the spread over seeds; empty where there is but one seed."""
    figure = summary["macro_f1"]
    if figure.get("seed_std") is None:
        return ""
    return f"macro-F1 {figure['seed_mean']:.3f}, standard deviation {figure['seed_std']:.3f} over {summary['seeds']} seeds"


def _read(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))
