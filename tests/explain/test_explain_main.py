"""The stage on a small model that tells apart the pattern in one quadrant of the head."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from synthetic import call_demonstration, copy_params, set_params

from stages.attention import attention, find_layer
from stages.catalog import INDEX, MODELS, PIXELS, PREDICTIONS, model_file, read_table, write_table
from stages.explain import __main__ as explain
from stages.explain.figures import COLUMNS
from stages.model import create_model
from stages.network import Network

CLASSES = ["glioma", "meningioma", "notumor"]
SIZE, PICTURES, BORDER = 64, 60, 8
IDS = [f"set/{n:02}.png" for n in range(PICTURES)]
TRUTH = np.arange(PICTURES) % 3
QUADRANT = np.arange(PICTURES) // 3 % 4
MISLABELLED = np.arange(PICTURES) % 10 == 7
ABOUT = {
    "backbone": "test_resnet",
    "classes": CLASSES,
    "image_size": SIZE,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "dropout": 0.0,
    "seeds": [4],
}


def draw_pictures() -> np.ndarray:
    """A head of noise in a black border; one of its quadrants has horizontal lines, vertical lines or a chequered pattern."""
    pictures = np.zeros((PICTURES, SIZE, SIZE), np.uint8)
    inner = slice(BORDER, SIZE - BORDER)
    pictures[:, inner, inner] = np.random.default_rng(0).integers(20, 80, (PICTURES, SIZE - 2 * BORDER, SIZE - 2 * BORDER))
    y, x = np.indices((SIZE, SIZE)) // 2
    patterns = [y % 2, x % 2, (x + y) % 2]
    halves = slice(BORDER, SIZE // 2), slice(SIZE // 2, SIZE - BORDER)
    for picture, k, where in zip(pictures, TRUTH, QUADRANT, strict=True):
        place = halves[where // 2], halves[where % 2]
        picture[place] += np.uint8(150) * patterns[k][place].astype(np.uint8)
    return pictures


@pytest.fixture(scope="module")
def trained():
    """(weights, probabilities [PICTURES, K]) of a model after a few steps."""
    torch.manual_seed(0)
    network = Network(ABOUT)
    inputs, labels = network.inputs(draw_pictures()), torch.from_numpy(TRUTH).to(network.device)
    optimiser = torch.optim.Adam(network.model.parameters(), lr=0.003)
    network.model.train()
    for _ in range(25):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network.model(inputs), labels).backward()
        optimiser.step()
    for _ in range(30):  # batch norm's running statistics
        with torch.no_grad():
            network.model(inputs)
    network.model.eval()
    with torch.no_grad():
        probabilities = network.model(inputs).softmax(1).cpu().numpy().astype(float).round(6)
    assert (probabilities.argmax(1) == TRUTH).mean() > 0.95
    return {name: tensor.cpu().contiguous() for name, tensor in network.model.state_dict().items()}, probabilities


@pytest.fixture
def project(tmp_path, monkeypatch, trained):
    """Two folds with that model in each, 4 pictures to explain of each class and outcome; six pictures have a wrong label."""
    monkeypatch.chdir(tmp_path)
    copy_params()
    set_params(explain__pictures=4)
    weights, probabilities = trained
    MODELS.mkdir(parents=True)
    (MODELS / "model.json").write_text(json.dumps(ABOUT))
    for fold in range(2):
        save_file(weights, MODELS / model_file(fold, 4))
    PIXELS.parent.mkdir()
    np.save(PIXELS, draw_pictures())
    write_table(pd.DataFrame({"image_id": IDS}), INDEX)
    labels = [CLASSES[(k + 1) % 3 if wrong else k] for k, wrong in zip(TRUTH, MISLABELLED, strict=True)]
    table = pd.DataFrame({"image_id": IDS, "fold": np.arange(PICTURES) % 2, "label": labels})
    table["predicted"] = np.array(CLASSES)[probabilities.argmax(1)]
    write_table(table.assign(**{f"p_{name}": probabilities[:, k] for k, name in enumerate(CLASSES)}), PREDICTIONS)
    return tmp_path


def outputs() -> dict[str, bytes]:
    files = [*sorted(explain.FOLDER.iterdir()), explain.SHEET, Path("metrics/explain.json")]
    return {file.as_posix(): file.read_bytes() for file in files}


def metrics() -> dict:
    return json.loads(Path("metrics/explain.json").read_text())


def test_the_attention_lies_in_the_quadrant_that_decides(project):
    network = Network(ABOUT)
    network.load(MODELS / model_file(0, 4))
    maps = attention(network.model, find_layer(network.model, SIZE), network.inputs(draw_pictures()), TRUTH)
    halves = slice(0, SIZE // 2), slice(SIZE // 2, SIZE)
    shares = [seen[halves[k // 2], halves[k % 2]].sum() / seen.sum() for seen, k in zip(maps, QUADRANT, strict=True)]
    assert np.mean(shares) > 0.5, "an even spread has a quarter"


def test_the_model_depends_on_what_it_looked_at(project):
    set_params(explain__pictures=10)
    explain.main()
    right = metrics()["right"]
    assert right["deletion"] < right["deletion_random"] - 0.05
    assert right["insertion"] > right["insertion_random"] + 0.05
    assert right["deletion_better"] > 0.7 and right["insertion_better"] > 0.7
    assert right["head_area"] == pytest.approx((1 - 2 * BORDER / SIZE) ** 2)


def test_a_row_and_an_overlay_a_picture(project):
    explain.main()
    table, predictions = read_table(explain.FOLDER / "index.csv"), read_table(PREDICTIONS).set_index("image_id")
    assert list(table.columns) == ["image_id", "fold", "label", "predicted", "probability", "outcome", "file", *COLUMNS]
    assert table.groupby(["label", "outcome"]).size().to_dict() == {
        (name, outcome): 4 if outcome == "right" else 2 for name in CLASSES for outcome in ("right", "wrong")
    }
    assert ((table.label == table.predicted) == (table.outcome == "right")).all()
    assert {path.name for path in explain.FOLDER.iterdir()} == {"index.csv", *table.file}
    pictures = np.load(PIXELS)
    for row in table.itertuples():
        assert row.probability == predictions.at[row.image_id, f"p_{row.predicted}"]
        with Image.open(explain.FOLDER / row.file) as image:
            shown = np.asarray(image).astype(int)
        assert shown.shape == (SIZE, SIZE, 3)
        grey = pictures[IDS.index(row.image_id)].astype(int)
        unlike = np.abs(shown.mean(2) - grey).mean()
        assert unlike < min(np.abs(shown.mean(2) - other).mean() for other in pictures[TRUTH != TRUTH[IDS.index(row.image_id)]].astype(int))
        assert np.ptp(shown, axis=2).max() > 50, "a heat map has colours"
    with Image.open(explain.SHEET) as image:
        assert image.width > 1000 and image.height > 800


def test_the_figures_are_the_means_of_the_rows(project):
    explain.main()
    table, figures = read_table(explain.FOLDER / "index.csv"), metrics()
    assert (figures["layer"], figures["cells"]) == ("layer4", 4)
    assert set(figures["classes"]) == set(CLASSES)
    for outcome in ("right", "wrong"):
        mine = table[table.outcome == outcome]
        assert figures[outcome]["pictures"] == len(mine)
        of_class = mine[mine.label == "glioma"]
        for name in COLUMNS:
            assert figures[outcome][name] == pytest.approx(mine[name].astype(float).mean(), abs=1e-6)
            assert figures["classes"]["glioma"][outcome][name] == pytest.approx(of_class[name].astype(float).mean(), abs=1e-6)


def test_the_same_bytes_again_and_nothing_of_the_run_before(project):
    explain.main()
    first = outputs()
    (explain.FOLDER / "9999.webp").write_bytes(b"of another run")
    explain.main()
    assert outputs() == first


def test_synthetic_pictures_are_called_a_demonstration_and_nothing_else_changes(project):
    explain.main()
    before, result = outputs(), metrics()
    assert result["demonstration"] is False
    call_demonstration(True)
    explain.main()
    assert metrics() == result | {"demonstration": True}
    changed = {name for name, content in outputs().items() if content != before[name]}
    assert changed == {"metrics/explain.json", explain.SHEET.as_posix()}


def test_fewer_pictures_are_some_of_the_same(project):
    explain.main()
    many = read_table(explain.FOLDER / "index.csv").set_index(["image_id", "fold"]).drop(columns="file")
    set_params(explain__pictures=2)
    explain.main()
    few = read_table(explain.FOLDER / "index.csv").set_index(["image_id", "fold"]).drop(columns="file")
    assert len(few) == 12
    pd.testing.assert_frame_equal(few, many.loc[few.index], atol=1e-4)


def test_each_picture_is_explained_by_the_model_of_its_fold(project):
    explain.main()
    before = read_table(explain.FOLDER / "index.csv")
    torch.manual_seed(1)
    save_file(create_model(ABOUT["backbone"], 3).state_dict(), MODELS / model_file(1, 4))
    explain.main()
    after = read_table(explain.FOLDER / "index.csv")
    same = (before.deletion.astype(float) - pd.to_numeric(after.deletion)).abs() < 1e-4
    assert set(before.fold) == {0, 1}
    assert same[before.fold == 0].all() and not same[before.fold == 1].any()


def test_of_several_seeds_the_first_is_explained(project):
    explain.main()
    before = outputs()
    (MODELS / "model.json").write_text(json.dumps(ABOUT | {"seeds": [4, 2]}))
    explain.main()  # needs no weights of seed 2
    assert outputs() == before


def test_another_layer_by_name_and_a_wrong_one_refused(project):
    set_params(explain__layer="layer2")
    explain.main()
    assert (metrics()["layer"], metrics()["cells"]) == ("layer2", 64)
    first = outputs()
    set_params(explain__layer="layers2")
    with pytest.raises(SystemExit, match="explain.layer: .*'layers2'; did you mean layer2, "):
        explain.main()
    assert outputs() == first


def test_a_model_without_errors(project):
    table = read_table(PREDICTIONS)
    write_table(table.assign(label=table.predicted), PREDICTIONS)
    explain.main()
    figures = metrics()
    assert figures["wrong"]["pictures"] == 0 and figures["wrong"]["inside_head"] is None
    assert set(read_table(explain.FOLDER / "index.csv").outcome) == {"right"}
