import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import call_demonstration, copy_params

from stages.audit import __main__ as audit
from stages.catalog import CLUSTERS, CONFLICTS, INDEX, PIXELS, PREDICTIONS, read_table, write_table

CLASSES = ["glioma", "meningioma", "notumor"]
WRONG = [f"set/{n:03}.png" for n in (12, 100, 251)]  # mislabelled


@pytest.fixture
def project(tmp_path, monkeypatch):
    """300 pictures which a good model tells apart, three of them under a wrong label, and a cluster with two labels."""
    monkeypatch.chdir(tmp_path)
    copy_params()
    random = np.random.default_rng(0)
    ids = [f"set/{n:03}.png" for n in range(300)]
    truth = np.arange(300) % 3
    sureness = random.uniform(0.7, 0.9, 300)
    sureness[[ids.index(name) for name in WRONG]] = 0.95  # confident learning doubts what contradicts a sure model
    probabilities = np.where(np.eye(3)[truth] == 1, sureness[:, None], (1 - sureness[:, None]) / 2)
    label = np.array([CLASSES[(k + 1) % 3] if name in WRONG else CLASSES[k] for name, k in zip(ids, truth, strict=True)])
    table = pd.DataFrame({"image_id": ids, "fold": 0, "label": label, "predicted": np.array(CLASSES)[truth]})
    write_table(table.assign(**{f"p_{name}": probabilities[:, k].round(6) for k, name in enumerate(CLASSES)}), PREDICTIONS)
    twins = ["set/x.png", "set/y.png"]
    patients = [f"P{n // 10}" for n in range(300)] + ["", ""]
    write_table(pd.DataFrame({"image_id": ids + twins, "cluster": [*range(300), 300, 300], "group": 0, "patient": patients}), CLUSTERS)
    write_table(pd.DataFrame({"image_id": twins, "label": ["glioma", "notumor"], "cluster": 300}), CONFLICTS)
    PIXELS.parent.mkdir(parents=True)
    np.save(PIXELS, random.integers(0, 255, (300, 32, 32), dtype=np.uint8))
    write_table(pd.DataFrame({"image_id": ids}), INDEX)
    return tmp_path


def test_mislabelled_pictures_come_first_then_those_under_two_labels(project):
    audit.main()
    table = read_table(audit.AUDIT)
    assert sorted(table.image_id[:3]) == WRONG
    assert table.image_id[3:].tolist() == ["set/x.png", "set/y.png"]
    assert list(table.columns) == audit.COLUMNS
    assert (table.correct_label == "").all()
    first = table.iloc[0]
    assert first.label != first.suggested == CLASSES[int(first.image_id[4:7]) % 3]
    assert float(first.p_label) < float(first.p_suggested)
    assert first.patient == f"P{int(first.image_id[4:7]) // 10}"
    metrics = json.loads(Path("metrics/audit.json").read_text())
    assert (metrics["pictures"], metrics["doubted"], metrics["under_several_labels"]) == (300, 3, 2)
    assert metrics["doubted_as"]["meningioma as glioma"] == 1
    with Image.open(audit.SHEET) as image:
        assert image.width > 800


def test_right_labels_are_not_doubted(project):
    table = read_table(PREDICTIONS)
    write_table(table.assign(label=table.predicted), PREDICTIONS)
    write_table(read_table(CONFLICTS).iloc[:0], CONFLICTS)
    audit.main()
    assert read_table(audit.AUDIT).empty
    assert json.loads(Path("metrics/audit.json").read_text())["doubted_share"] == 0


def test_synthetic_pictures_are_called_a_demonstration(project):
    audit.main()
    sheet, metrics = audit.SHEET.read_bytes(), json.loads(Path("metrics/audit.json").read_text())
    assert metrics["demonstration"] is False
    call_demonstration(True)
    audit.main()
    assert json.loads(Path("metrics/audit.json").read_text()) == metrics | {"demonstration": True}
    assert audit.SHEET.read_bytes() != sheet


def test_the_same_bytes_again(project):
    files = [Path(audit.AUDIT), Path(audit.SHEET), Path("metrics/audit.json")]
    audit.main()
    first = [file.read_bytes() for file in files]
    audit.main()
    assert [file.read_bytes() for file in files] == first
