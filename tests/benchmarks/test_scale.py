import io
import json
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.scale import __main__ as measure
from benchmarks.scale.found import found
from benchmarks.scale.pictures import COPIES, ORIGINALS, heads, make_chunk
from benchmarks.scale.table import DOCUMENT, LITTLE, RESULTS, power, table
from stages.catalog import CATALOG, CLUSTERS, write_table

pytestmark = pytest.mark.slow


def test_a_chunk_is_the_same_each_time_and_has_every_kind_of_copy():
    files = make_chunk(3)
    assert files == make_chunk(3) and not files.keys() & make_chunk(4).keys()
    ways = pd.Series([name.split("/")[1] for name in files]).value_counts().to_dict()
    assert ways == {"original": ORIGINALS} | dict.fromkeys(COPIES, 100)
    for way in COPIES:
        name = next(name for name in files if f"/{way}/" in name)
        copy, original = (
            np.asarray(Image.open(io.BytesIO(files[n])).resize((64, 64)), float) for n in (name, name.replace(way, "original"))
        )
        turned = original[:, ::-1] if way == "mirrored" else original
        assert np.corrcoef(copy.ravel(), turned.ravel())[0, 1] > 0.99


def test_different_heads_are_different_pictures():
    pictures = heads(np.random.default_rng(1), 400).reshape(400, -1)
    assert np.triu(np.corrcoef(pictures), 1).max() < 0.96


def test_what_was_planted_is_found_by_the_real_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "SCRATCH", tmp_path)
    monkeypatch.setenv("BRAIN_MRI_MIRROR", "")
    start = time.perf_counter()
    result = measure.run(1000, exhaustively=True)
    elapsed = time.perf_counter() - start
    assert result["planted"] == 300 and result["recall"] == result["precision"] == 1
    assert result["little_memory"]["same_clusters"] is result["exhaustive"]["same_clusters"] is True
    measured = [result[stage] for stage in ("download", "merge", "dedupe", "little_memory", "exhaustive")]
    assert elapsed / 4 < sum(one["seconds"] for one in measured) < elapsed, "the rest of it makes the images"
    assert all(50 < one["megabytes"] < 4000 for one in measured), "in MB, of a process that imports NumPy"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "clusters, recall, precision",
    [((0, 0, 1, 1), 1, 1), ((0, 2, 1, 1), 0.5, 1), ((0, 0, 0, 0), 1, 2 / 3), ((0, 1, 1, 0), 0, 0)],
    ids=["right", "one missed", "two pictures as one", "copies swapped"],
)
def test_recall_and_precision(clusters, recall, precision, tmp_path):
    names = ["original/1", "mirrored/1", "original/2", "squashed/2"]
    rows = pd.DataFrame({"image_id": [f"heads/glioma/{name}.jpg" for name in names]})
    write_table(rows, tmp_path / CATALOG)
    write_table(rows.assign(cluster=clusters), tmp_path / CLUSTERS)
    result = found(tmp_path)
    assert (result["recall"], result["precision"], result["planted"]) == (recall, pytest.approx(precision), 2)


def result(seconds: float, **others) -> dict:
    cost = {"seconds": seconds, "megabytes": 100.0}
    counts = {"planted": 30, "recall": 0.9, "precision": 1.0, "little_memory": cost | {"same_clusters": True}}
    return {"bytes": 10**7, "download": cost, "merge": cost, "dedupe": cost} | counts | others


def test_the_table_has_a_row_a_size_and_the_power_of_the_time():
    exhaustive = {"exhaustive": {"seconds": 9.0, "megabytes": 90.0, "same_clusters": False}}
    sizes = {"1000": result(1, **exhaustive), "10000": result(10), "100000": result(100)}
    assert power({int(count): one for count, one in sizes.items()}) == pytest.approx(1)
    lines = table({"command": "python -m benchmarks.scale", "cores": 2, "sizes": sizes}).splitlines()
    assert lines[4] == "| 1,000 | 10 | 1 s, 100 MB | 1 s, 100 MB | 1 s, 100 MB | 30 | 0.90000 | 1.00000 | 1 s, 100 MB | 9 s, 90 MB | no |"
    assert lines[5].endswith("| 1.00000 | 10 s, 100 MB |  | yes |") and "1.00th power" in lines[-1]


def test_what_is_in_the_document_is_what_was_measured():
    results = json.loads(RESULTS.read_text())
    assert table(results) in DOCUMENT.read_text()
    for size in results["sizes"].values():
        assert size["little_memory"]["megabytes"] < LITTLE * 2**30 / 1e6
