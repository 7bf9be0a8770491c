import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from synthetic import call_demonstration, copy_params, set_params

from stages.catalog import MODELS, PREDICTIONS, SAMPLES, VALIDATION_PREDICTIONS, model_file, read_table, write_table
from stages.evaluate import __main__ as evaluate
from stages.evaluate import inference
from stages.model import create_model
from stages.scores import METRICS

CLASSES = ["glioma", "notumor", "pituitary"]
SIZE, FOLDS, PICTURES = 32, 2, 150
ABOUT = {
    "backbone": "mobilenetv3_small_050",
    "classes": CLASSES,
    "image_size": SIZE,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "dropout": 0.2,
    "seeds": [0],
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two folds of random pictures, half of them test pictures in each and a tenth for validation, and two models with random weights."""
    monkeypatch.chdir(tmp_path)
    copy_params()
    random = np.random.default_rng(0)
    ids = [f"set/{n:03}.png" for n in random.permutation(PICTURES)]
    labels = [CLASSES[n] for n in random.integers(0, 3, PICTURES)]
    rows = [
        {
            "fold": fold,
            "role": "test" if n % FOLDS == fold else "validation" if n % 10 == 9 - fold else "train",
            "image_id": image_id,
            "label": label,
        }
        for fold in range(FOLDS)
        for n, (image_id, label) in enumerate(zip(ids, labels, strict=True))
    ]
    write_table(pd.DataFrame(rows), SAMPLES)
    write_table(pd.DataFrame({"image_id": sorted(ids)}), "data/preprocessed/index.csv")
    np.save("data/preprocessed/pixels.npy", random.integers(0, 256, (PICTURES, SIZE, SIZE), dtype=np.uint8))
    MODELS.mkdir()
    write_models([0])


def write_models(seeds: list[int]) -> None:
    (MODELS / "model.json").write_text(json.dumps(ABOUT | {"seeds": seeds}))
    for fold in range(FOLDS):
        for seed in seeds:
            torch.manual_seed(10 * seed + fold)
            model = create_model(ABOUT["backbone"], 3, 0.2)
            torch.nn.init.normal_(model.classifier.weight)
            save_file(model.state_dict(), MODELS / model_file(fold, seed))


def outputs():
    return {path.as_posix(): path.read_bytes() for path in [PREDICTIONS, VALIDATION_PREDICTIONS, *Path("metrics").rglob("*.*")]}


def evaluated() -> dict:
    return json.loads(Path("metrics/evaluate.json").read_text())


def test_every_test_picture_once_a_fold_in_order(project):
    evaluate.main()
    table = read_table(PREDICTIONS)
    assert list(table.columns) == ["image_id", "fold", "label", "predicted", "p_glioma", "p_notumor", "p_pituitary"]
    samples = read_table(SAMPLES)
    expected = samples[samples.role == "test"].sort_values(["fold", "image_id"])
    for column in ("fold", "image_id", "label"):
        assert table[column].tolist() == expected[column].tolist()
    probabilities = table[[f"p_{name}" for name in CLASSES]].to_numpy(float)
    assert probabilities.sum(1) == pytest.approx(1, abs=2e-6)
    assert table.predicted.tolist() == [CLASSES[k] for k in probabilities.argmax(1)]
    assert len(set(table.predicted)) > 1
    assert set(outputs()) == {
        "data/predictions.csv",
        "data/validation_predictions.csv",
        "metrics/evaluate.json",
        "metrics/plots/overview.png",
    } | {f"metrics/plots/{name}.csv" for name in ("confusion", "roc", "precision_recall", "reliability")}


def test_the_validation_pictures_are_predicted_apart_and_not_scored(project):
    evaluate.main()
    table, samples = read_table(VALIDATION_PREDICTIONS), read_table(SAMPLES)
    expected = samples[samples.role == "validation"].sort_values(["fold", "image_id"])
    assert len(table) == PICTURES / 5
    for column in ("fold", "image_id", "label"):
        assert table[column].tolist() == expected[column].tolist()
    assert list(table.columns) == list(read_table(PREDICTIONS).columns)


def test_a_picture_is_predicted_by_its_own_folds_model_both_ways_round(project):
    set_params(evaluate__zoom=1.0)
    evaluate.main()
    table = read_table(PREDICTIONS)
    pixels, ids = np.load("data/preprocessed/pixels.npy"), read_table("data/preprocessed/index.csv").image_id.tolist()
    mean, std = (torch.tensor(ABOUT[key]).view(3, 1, 1) for key in ("mean", "std"))
    for fold in range(FOLDS):
        torch.manual_seed(fold)
        model = create_model(ABOUT["backbone"], 3, 0.2)
        torch.nn.init.normal_(model.classifier.weight)
        model.eval()
        first = table[table.fold == fold].iloc[0]
        image = (torch.from_numpy(pixels[ids.index(first.image_id)]).float().div(255).expand(3, SIZE, SIZE) - mean) / std
        with torch.no_grad():
            expected = (model(image[None]).softmax(1) + model(image.flip(-1)[None]).softmax(1))[0] / 2
        assert first[[f"p_{name}" for name in CLASSES]].to_numpy(float) == pytest.approx(expected.numpy(), abs=1e-4)


def test_the_same_bytes_again(project):
    evaluate.main()
    first = outputs()
    evaluate.main()
    assert outputs() == first


@pytest.mark.parametrize("other", [{"evaluate__flips": False}, {"evaluate__zoom": 1.0}])
def test_other_views_other_probabilities(project, other):
    evaluate.main()
    both = read_table(PREDICTIONS)
    set_params(**other)
    evaluate.main()
    assert (read_table(PREDICTIONS).p_glioma - both.p_glioma).abs().max() > 1e-4


def test_metrics_and_plots_tell_what_the_predictions_tell(project):
    evaluate.main()
    table, folds = read_table(PREDICTIONS), evaluated()["folds"]
    assert list(folds) == ["fold 0", "fold 1"]
    for fold, figures in enumerate(folds.values()):
        mine = table[table.fold == fold]
        assert figures["pictures"] == len(mine) == PICTURES / FOLDS
        assert figures["accuracy"] == pytest.approx((mine.label == mine.predicted).mean(), abs=1e-6)
    confusion = read_table("metrics/plots/confusion.csv")
    assert confusion.actual.tolist() == table.label.tolist() and confusion.predicted.tolist() == table.predicted.tolist()


def test_seeds_predict_together_and_each_is_scored_alone(project):
    names = [f"p_{name}" for name in CLASSES]
    alone, scores = [], {}
    for seed in (3, 1):
        write_models([seed])
        evaluate.main()
        alone.append(read_table(PREDICTIONS)[names].to_numpy(float))
        folds = evaluated()["folds"].values()
        scores[f"seed {seed}"] = {name: pytest.approx(np.mean([fold[name] for fold in folds]), abs=2e-6) for name in METRICS}
        assert evaluated()["seeds"] == {f"seed {seed}": scores[f"seed {seed}"]}

    write_models([3, 1])
    evaluate.main()
    table = read_table(PREDICTIONS)
    assert table[names].to_numpy(float) == pytest.approx((alone[0] + alone[1]) / 2, abs=2e-6)
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    assert len(table) == PICTURES and list(evaluated()["folds"]) == ["fold 0", "fold 1"]
    assert evaluated()["seeds"] == scores


def test_synthetic_pictures_are_called_a_demonstration_and_nothing_else_changes(project):
    evaluate.main()
    before, result = outputs(), evaluated()
    assert result["demonstration"] is False
    call_demonstration(True)
    evaluate.main()
    assert evaluated() == result | {"demonstration": True}
    changed = {name for name, content in outputs().items() if content != before[name]}
    assert changed == {"metrics/evaluate.json", "metrics/plots/overview.png"}


def test_test_pictures_of_an_unknown_class_stop_with_its_name(project):
    samples = read_table(SAMPLES)
    samples.loc[samples.role == "test", "label"] = "meningioma"
    write_table(samples, SAMPLES)
    with pytest.raises(SystemExit, match="meningioma.*glioma, notumor, pituitary"):
        evaluate.main()


def test_a_model_that_diverged_stops_with_its_fold(project):
    torch.manual_seed(0)
    model = create_model(ABOUT["backbone"], 3, 0.2)
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    save_file(model.state_dict(), MODELS / model_file(1, 0))
    with pytest.raises(SystemExit, match="Fold 1, seed 0.*train.lr"):
        evaluate.main()
    assert not PREDICTIONS.exists()


def test_only_the_rows_asked_for_in_their_order():
    torch.manual_seed(0)
    model = create_model(ABOUT["backbone"], 3)
    torch.nn.init.normal_(model.classifier.weight)
    pixels = np.random.default_rng(0).integers(0, 256, (100, SIZE, SIZE), dtype=np.uint8)

    def predict(rows):
        return np.concatenate(
            list(inference.probabilities(model, pixels, np.array(rows), ABOUT["mean"], ABOUT["std"], flips=True, zoom=1.1))
        )

    everything = predict(range(100))
    assert everything.shape == (100, 3) and everything.dtype == np.float32
    assert predict([70, 3, 41]) == pytest.approx(everything[[70, 3, 41]], abs=1e-5)
