"""Training end to end on small pictures whose class is a bright quadrant."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from stages.catalog import INDEX, PIXELS, SAMPLES, read_table, write_table
from stages.model import load_state, recreate_model
from stages.params import load_params
from stages.train import __main__ as train_stage
from stages.train import folds
from stages.train.checkpoint import SCRATCH, Checkpoints

ROOT = Path(__file__).parents[2]
NOT_AUGMENTED = {"mirror": False, "rotate": 0, "translate": 0, "scale": 0, "contrast": 0, "crop": 0}
SIZE = 32
CLASSES = ("glioma", "meningioma", "notumor")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with everything that train reads: 90 pictures, 2 folds, no pretrained weights."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    monkeypatch.setattr(folds, "cpu_count", lambda: 1)  # in this process, where a test can look in
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pixels = rng.integers(0, 60, (90, SIZE, SIZE)).astype(np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        y, x = divmod(label, 2)
        picture[y * 16 : y * 16 + 16, x * 16 : x * 16 + 16] += 150
    names = [f"phantom/{n:02}.png" for n in range(90)]
    PIXELS.parent.mkdir(parents=True)
    np.save(PIXELS, pixels)
    write_table(pd.DataFrame({"image_id": names}), INDEX)
    roles = [np.select([np.arange(90) % 5 == fold, np.arange(90) % 5 == 4], ["test", "validation"], "train") for fold in range(2)]
    table = pd.concat(
        pd.DataFrame({"fold": fold, "role": role, "image_id": names, "label": [CLASSES[k] for k in labels]})
        for fold, role in enumerate(roles)
    )
    write_table(table.assign(origin=table.image_id, change="", weight=1.0), SAMPLES)
    Path("data/weights").mkdir()
    save_file({}, "data/weights/weights.safetensors")
    configure(
        {
            "model.backbone": "mobilenetv3_small_050",
            "model.image_size": SIZE,
            "model.dropout": 0.1,
            "train.epochs": 3,
            "train.seeds": [0],
            "train.batch_size": 16,
            "train.precision": "float32",
            "train.lr": 0.003,
            "train.augment": {"mirror": False, "rotate": 15, "translate": 0.05, "scale": 0.1, "contrast": 0.1, "crop": 0},
        }
    )
    return tmp_path


def configure(changes: dict) -> None:
    path = Path("params.yaml")
    content = yaml.safe_load((path if path.exists() else ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = content
        for part in sections:
            section = section[part]
        section[name] = value
    path.write_text(yaml.safe_dump(content))


def outputs() -> dict[str, bytes]:
    files = [*sorted(Path("data/models").iterdir()), Path("metrics/train.json"), Path("metrics/plots/history.csv")]
    return {str(file): file.read_bytes() for file in files}


def history() -> pd.DataFrame:
    return read_table("metrics/plots/history.csv")


def validation_loss(fold: int) -> float:
    """Of the model that was handed on."""
    samples = read_table(SAMPLES)
    rows = [int(name[8:10]) for name in samples.image_id[(samples.fold == fold) & (samples.role == "validation")]]
    about = json.loads(Path("data/models/model.json").read_text())
    model = recreate_model(about).eval()
    load_state(model, load_file(f"data/models/fold-{fold}-seed-0.safetensors"))
    x = torch.from_numpy(np.load(PIXELS)[rows])[:, None].expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(about[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(model((x - mean) / std), torch.tensor(rows) % 3))


def test_it_learns_and_describes_its_models(project):
    configure({"train.epochs": 12})
    train_stage.main()
    epochs = history()
    assert epochs.groupby("fold").size().to_dict() == {0: 12, 1: 12}
    assert epochs.groupby("fold").kept.sum().to_dict() == {0: 1, 1: 1}
    assert epochs[epochs.kept].validation_macro_f1.min() > 0.9
    about = json.loads(Path("data/models/model.json").read_text())
    assert {file.stat().st_mode & 0o777 for file in Path("data/models").iterdir()} == {Path("params.yaml").stat().st_mode & 0o777}
    assert about["classes"] == list(CLASSES) and about["image_size"] == SIZE and len(about["mean"]) == 3 and "head" not in about
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["trained_parameters"] == metrics["parameters"] > 100_000
    assert not SCRATCH.exists() or not any(SCRATCH.iterdir())  # checkpoints go once the outputs are there


@pytest.mark.parametrize("changes", [{"model.backbone": "keras_cnn"}, {"model.head": 16}])
def test_what_it_describes_can_be_rebuilt(project, changes):
    configure({"train.epochs": 1, "model.freeze": "first 1", "train.augment": NOT_AUGMENTED} | changes)
    train_stage.main()
    about = json.loads(Path("data/models/model.json").read_text())
    assert about.get("head") == ("16" if "model.head" in changes else None)
    load_state(recreate_model(about), load_file("data/models/fold-0-seed-0.safetensors"))


def test_the_same_seed_gives_the_same_bytes_again(project):
    train_stage.main()
    first = outputs()
    train_stage.main()
    assert outputs() == first


def trained_weights() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("data/models").glob("*.safetensors")}


def test_every_fold_is_trained_from_every_seed_each_as_if_alone(project):
    train_stage.main()
    alone, one = trained_weights(), json.loads(Path("metrics/train.json").read_text())
    assert set(alone) == {"fold-0-seed-0.safetensors", "fold-1-seed-0.safetensors"}
    assert "seed_std" not in one["validation_macro_f1"]

    configure({"train.seeds": [5, 0]})
    train_stage.main()
    together = trained_weights()
    assert set(together) == {f"fold-{fold}-seed-{seed}.safetensors" for fold in range(2) for seed in (0, 5)}
    assert len(set(together.values())) == 4
    assert alone.items() <= together.items()
    assert json.loads(Path("data/models/model.json").read_text())["seeds"] == [5, 0]

    epochs = history()
    assert list(epochs.columns[:3]) == ["fold", "seed", "epoch"]
    assert epochs.groupby(["fold", "seed"]).size().to_dict() == {(fold, seed): 3 for fold in range(2) for seed in (0, 5)}
    best = epochs[epochs.kept]
    assert len(best) == 4
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["validation_macro_f1"]["mean"] == pytest.approx(best.validation_macro_f1.mean(), abs=1e-6)
    means = [best[best.seed == seed].validation_macro_f1.mean() for seed in (0, 5)]
    assert metrics["validation_macro_f1"]["seed_std"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5, abs=1e-6)


@pytest.mark.parametrize("killed_after", [1, 3, 5])
@pytest.mark.parametrize(
    "changes", [{}, {"model.freeze": "all but last 8", "train.augment": NOT_AUGMENTED}], ids=["whole", "frozen layers run once"]
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(project, monkeypatch, capsys, changes, killed_after):
    configure(changes)
    train_stage.main()
    assert ("frozen layers run once" in capsys.readouterr().out) == bool(changes)
    expected = outputs()
    for file in expected:
        Path(file).unlink()

    saved = 0
    save = Checkpoints.save

    def save_then_die(self, *args):
        nonlocal saved
        save(self, *args)
        saved += 1
        if saved == killed_after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "save", save_then_die)
        train_stage.main()
    capsys.readouterr()
    train_stage.main()
    assert "goes on after epoch" in capsys.readouterr().out
    assert outputs() == expected


@pytest.mark.parametrize("kept", [0, 0.1, 0.9], ids=["empty", "begun", "cut short"])
def test_a_damaged_checkpoint_is_said_and_begun_anew(project, monkeypatch, capsys, kept):
    train_stage.main()
    expected = outputs()
    for file in expected:
        Path(file).unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(folds, "cpu_state", lambda model: (_ for _ in ()).throw(KeyboardInterrupt))
        train_stage.main()
    path = next(SCRATCH.glob("*/fold-0-seed-0.pt"))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    train_stage.main()
    assert f"{path.name} is damaged: this training begins anew" in capsys.readouterr().out
    assert outputs() == expected


def test_a_checkpoint_of_other_params_or_inputs_is_left_alone(project):
    inputs = [PIXELS, INDEX, SAMPLES]
    before = Checkpoints(load_params(), inputs, "cpu").folder
    configure({"aggregate.seed": 7})  # not the training's business
    assert Checkpoints(load_params(), inputs, "cpu").folder == before
    configure({"train.lr": 0.002})
    assert Checkpoints(load_params(), inputs, "cpu").folder != before
    configure({"train.lr": 0.003})
    np.save(PIXELS, np.load(PIXELS)[::-1])
    assert Checkpoints(load_params(), inputs, "cpu").folder != before


def test_a_diverging_loss_stops_with_advice(project):
    configure({"train.optimizer": "sgd", "train.lr": 1e9, "train.schedule": "constant"})
    with pytest.raises(SystemExit, match="Training diverged: .* fold 0, seed 0, epoch 1 .* Lower train.lr"):
        train_stage.main()
    assert not Path("data/models").exists()


def test_the_last_epoch_is_kept_where_it_is_asked_for_and_training_does_not_feel_it(project):
    configure({"train.epochs": 4, "train.lr": 0.03, "train.schedule": "constant"})
    train_stage.main()
    best = history()
    assert not best[best.epoch == 4].kept.all(), "or this shows nothing"
    configure({"train.keep": "last"})
    train_stage.main()
    last = history()
    assert last[last.kept].epoch.tolist() == [4, 4]
    assert last.drop(columns="kept").equals(best.drop(columns="kept"))
    assert [validation_loss(fold) for fold in range(2)] == pytest.approx(last[last.kept].validation_loss.tolist(), rel=1e-6, abs=1e-5)


def test_precision_and_recall_of_every_epoch(project):
    configure({"train.epochs": 2})
    train_stage.main()
    epochs = history()
    assert epochs.filter(like="validation_macro").columns.tolist() == [
        "validation_macro_precision", "validation_macro_recall", "validation_macro_f1",
    ]  # fmt: skip
    assert np.allclose(epochs.validation_macro_recall, epochs.validation_accuracy, atol=1e-5), "the classes are equally many here"


def test_pixels_are_only_scaled_where_nothing_is_to_normalise_them(project):
    configure({"train.epochs": 1})
    train_stage.main()
    usual = json.loads(Path("data/models/model.json").read_text()), history().train_loss[0]
    configure({"model.normalisation": "none"})
    train_stage.main()
    plain = json.loads(Path("data/models/model.json").read_text()), history().train_loss[0]
    assert (plain[0]["mean"], plain[0]["std"]) == ([0, 0, 0], [1, 1, 1]) and usual[0] == plain[0] | {
        k: usual[0][k] for k in ("mean", "std")
    }
    assert usual[1] != plain[1], "and the network saw them so"


def test_the_moving_average_is_what_is_validated_and_kept_and_training_does_not_feel_it(project):
    configure({"train.ema_epochs": 0, "train.lr": 0.01})
    train_stage.main()
    last, weights = history(), load_file("data/models/fold-0-seed-0.safetensors")
    configure({"train.ema_epochs": 2})
    train_stage.main()
    mean, averaged = history(), load_file("data/models/fold-0-seed-0.safetensors")
    assert mean.train_loss.tolist() == last.train_loss.tolist()
    assert mean.validation_loss.tolist() != last.validation_loss.tolist()
    assert not torch.equal(averaged["conv_stem.weight"], weights["conv_stem.weight"])

    best = mean[(mean.fold == 0) & mean.kept].iloc[0]
    assert validation_loss(fold=0) == pytest.approx(best.validation_loss, abs=1e-5)


def test_a_frozen_backbone_stays_what_it_was(project):
    configure({"train.epochs": 2})
    train_stage.main()
    pretrained = {k: v for k, v in load_file("data/models/fold-0-seed-0.safetensors").items() if not k.startswith("classifier")}
    save_file(pretrained, "data/weights/weights.safetensors")
    configure({"model.freeze": "backbone"})
    train_stage.main()
    after = load_file("data/models/fold-0-seed-0.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in pretrained.items())
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["trained_parameters"] == 1024 * 3 + 3


@pytest.fixture
def pictures_seen():
    """How many pictures went through a first convolution, in a list of one number."""
    seen = [0]

    def count(module, inputs, output):
        if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3:
            seen[0] += len(output)

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    yield seen
    hook.remove()


def test_frozen_layers_run_once_for_all_folds_if_they_are_the_same(project, pictures_seen):
    configure({"model.freeze": "backbone", "train.augment": NOT_AUGMENTED, "model.weights": "none"})
    train_stage.main()
    assert 2 * 72 < pictures_seen[0] < 2 * 90 + 30, "each fold has its own random weights"
    pretrained = load_file("data/models/fold-0-seed-0.safetensors")
    save_file({k: v for k, v in pretrained.items() if not k.startswith("classifier")}, "data/weights/weights.safetensors")
    pictures_seen[0] = 0
    train_stage.main()
    assert 90 <= pictures_seen[0] < 90 + 30
    for fold in range(2):
        state = load_file(f"data/models/fold-{fold}-seed-0.safetensors")
        assert state.keys() == pretrained.keys()
        assert {name for name in state if not torch.equal(state[name], pretrained[name])} == {"classifier.bias", "classifier.weight"}


@pytest.mark.parametrize(
    "changes",
    [
        {"model.freeze": "none", "train.augment": NOT_AUGMENTED},
        {"model.freeze": "backbone"},
        {"model.freeze": "backbone", "train.augment": NOT_AUGMENTED | {"mirror": True}},
    ],
    ids=["nothing frozen", "augmented", "only mirrored"],
)
def test_other_recipes_do_without_the_code_that_cuts(project, monkeypatch, pictures_seen, changes):
    monkeypatch.setitem(sys.modules, "stages.train.frozen", None)  # an import would fail
    configure(changes | {"train.epochs": 2})
    train_stage.main()
    assert pictures_seen[0] == 2 * 2 * 72  # folds, epochs, pictures to train and to validate


@pytest.mark.parametrize(
    "changes",
    [
        {"train.optimizer": "adam", "train.schedule": "cosine"},
        {"train.optimizer": "sgd", "train.schedule": "step"},
        {"train.precision": "bfloat16", "model.backbone": "tf_efficientnet_lite0"},
    ],
    ids=lambda changes: " ".join(str(value) for value in changes.values()),
)
def test_every_choice_trains(project, changes):
    configure(changes | {"train.epochs": 2})
    train_stage.main()
    assert np.isfinite(history().train_loss).all()
    assert len(history()) == 4


@pytest.mark.parametrize("changes", [{}, {"train.optimizer": "sgd", "train.schedule": "constant", "train.lr": 1e30, "train.ema_epochs": 0}])
def test_a_last_batch_of_one_joins_the_one_before(project, changes):
    """On a map of one cell a batch norm has nothing to normalise over in it, and a training can diverge in its very last step."""
    rows = read_table(SAMPLES)
    rows = rows[rows.fold == 0]
    left = rows[rows.role == "train"].head(17).index
    write_table(rows[(rows.role != "train") | rows.index.isin(left)], SAMPLES)
    configure({"model.backbone": "resnet10t", "train.epochs": 1} | changes)
    if changes:
        with pytest.raises(SystemExit, match="Training diverged: the .*loss of fold 0, seed 0, epoch 1 is nan. Lower train.lr"):
            train_stage.main()
    else:
        train_stage.main()
        assert len(history()) == 1


def test_batches_of_one_are_refused_where_nothing_can_be_normalised(project):
    configure({"model.backbone": "resnet10t", "train.batch_size": 1})
    with pytest.raises(SystemExit, match="^train.batch_size: .* needs more than the 1 picture"):
        train_stage.main()


@pytest.mark.parametrize("backbone", ["inception_v3", "torchvision.alexnet", "mixer_s16_224"])
def test_a_size_that_a_backbone_does_not_take_is_one_line(project, backbone):
    configure({"model.backbone": backbone})
    with pytest.raises(SystemExit, match="^model.image_size: .*(does not take|only takes).* 32") as exit:
        train_stage.main()
    assert "\n" not in exit.value.code


def test_weights_that_do_not_fit_are_refused(project):
    save_file({"conv_stem.weight": torch.zeros(3, 3)}, "data/weights/weights.safetensors")
    with pytest.raises(SystemExit, match="does not fit the backbone"):
        train_stage.main()


@pytest.mark.parametrize("head", ["svm", "knn"])
def test_a_fitted_head_takes_the_place_of_training(project, pictures_seen, head):
    configure({"train.epochs": 1})
    train_stage.main()
    pretrained = {k: v for k, v in load_file("data/models/fold-0-seed-0.safetensors").items() if not k.startswith("classifier")}
    save_file(pretrained, "data/weights/weights.safetensors")
    pictures_seen[0] = 0
    configure({"model.head": head, "model.freeze": "backbone"})
    train_stage.main()
    assert pictures_seen[0] <= 90 + 1, "once for both folds, although params augment"
    expected = outputs()

    epochs = history()
    assert epochs.epoch.tolist() == [1, 1] and epochs.kept.all() and epochs.fold.tolist() == [0, 1]
    assert epochs.validation_macro_f1.min() > 0.9
    assert json.loads(Path("metrics/train.json").read_text())["trained_parameters"] == 0
    about = json.loads(Path("data/models/model.json").read_text())
    assert about["head"] == head
    model, images = recreate_model(about), torch.from_numpy(np.load(PIXELS))[:, None].repeat(1, 3, 1, 1) / 255
    images = (images - torch.tensor(about["mean"]).view(3, 1, 1)) / torch.tensor(about["std"]).view(3, 1, 1)
    for fold in range(2):
        state = load_file(f"data/models/fold-{fold}-seed-0.safetensors")
        assert all(torch.equal(state[name], tensor) for name, tensor in pretrained.items())
        load_state(model, state)
        validation = np.arange(90) % 5 == 4
        with torch.no_grad():
            right = model.eval()(images[validation]).argmax(1).numpy() == np.arange(90)[validation] % 3
        assert right.mean() == pytest.approx(epochs.validation_accuracy[fold], abs=1e-6)

    configure({"train.epochs": 7, "train.seeds": [0], "train.lr": 0.1})
    train_stage.main()
    assert outputs() == expected
