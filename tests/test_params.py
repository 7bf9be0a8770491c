import re
import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from synthetic import ROOT

from stages.params import Params, _describe, load_params


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    """What load_params says when a key of params.yaml is set, or dropped where no value is given."""
    monkeypatch.chdir(tmp_path)

    def change(key, *value):
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        *path, name = key.split(".")
        section = params
        for part in path:
            section = section[part]
        if value:
            section[name] = value[0]
        else:
            del section[name]
        Path("params.yaml").write_text(yaml.safe_dump(params))
        with pytest.raises(SystemExit) as exit:
            load_params()
        assert "\n" not in exit.value.code
        return exit.value.code

    return change


def test_the_project_s_params_are_loaded_as_they_stand_in_the_file():
    assert load_params(ROOT / "params.yaml").model_dump() == yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize("text, value", [("1e-06", 1e-6), ("1.0e-06", 1e-6), ("1e-3", 1e-3), ("1", 1.0)])
def test_numbers_load_however_dvc_writes_them(tmp_path, text, value):
    params = tmp_path / "params.yaml"
    params.write_text(re.sub(r"\n  lr: \S+", f"\n  lr: {text}", (ROOT / "params.yaml").read_text()))
    loaded = load_params(params).train.lr
    assert loaded == value and isinstance(loaded, float)


@pytest.mark.parametrize(
    "key, value",
    [
        ("train.epoch", 3), ("nonsense", {}), ("train.augment.blur", 1),
        ("train.epochs", "8"), ("train.epochs", 8.5), ("train.epochs", True), ("train.epochs", 0), ("train.lr", "fast"),
        ("train.seeds", []), ("train.seeds", 0), ("train.seeds", [0, -1]), ("train.seeds", [0.5]), ("train.seeds", [1, 1]),
        ("train.lr", 0), ("train.lr", float("inf")), ("train.lr", "nan"), ("train.lr", True), ("split.distinct", "yes"),
        ("split.protocol", "k-fold"), ("split.folds", 1), ("split.test_fraction", 1.0), ("dedupe.same", 98), ("data.sources", []),
        ("data.sources", ["sartaj", "sartaj"]), ("split.seed", -1), ("aggregate.seed", -1),
        ("data.sources", "sartaj"), ("balance.rotations", ["left"]), ("model", None), ("train.augment", 3), ("split.within", -1), ("split.within", "0"),
        ("evaluate.bins", 0), ("evaluate.bins", 101), ("evaluate.bins", 10**9),
        ("model.freeze", "frist 3"), ("model.freeze", "first 0"), ("model.freeze", "first"), ("model.freeze", 3), ("model.freeze", ""),
        ("split.validation_fraction", 0), ("split.validation_fraction", 1), ("model.backbone", ""), ("model.weights", ""), ("explain.layer", ""),
        ("train.patience", 3), ("train.class_weights", True), ("model.head", "128 64"), ("model.head", 0), ("model.head", None), ("data.labels", ["glioma"]), ("data.labels", {"glioma": 1}),
    ],
)  # fmt: skip
def test_unknown_key_or_wrong_value_is_one_line_that_names_it(refusal, key, value):
    assert refusal(key, value).startswith(f"params.yaml: {key}")


def test_a_params_file_of_before_is_read_where_knobs_that_are_gone_did_nothing(tmp_path):
    params = tmp_path / "params.yaml"
    gone = "".join(
        f"  {key}: {value}\n" for key, value in (("small_epochs", 0), ("small_size", 128), ("class_weights", "false"), ("patience", 0))
    )
    params.write_text((ROOT / "params.yaml").read_text().replace("train:\n", f"train:\n{gone}  label_smoothing: 0.0\n"))
    assert load_params(params) == load_params(ROOT / "params.yaml")


@pytest.mark.parametrize("key", ["train.lr", "split", "train.augment.mirror"])
def test_missing_key_is_one_line_that_names_it(refusal, key):
    assert refusal(key).startswith(f"params.yaml: {key}: Field required")


@pytest.mark.parametrize("rule", ["none", "backbone", "first 3", "all but last 12"])
def test_every_freezing_rule_of_the_network_is_taken(tmp_path, rule):
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text().replace("freeze: none", f"freeze: {rule}"))
    assert load_params(params).model.freeze == rule


@pytest.mark.parametrize("prefix", ["timm/", "hf-hub:timm/", "hf_hub:timm/"])
def test_timm_s_models_are_taken_as_the_hub_writes_them(tmp_path, prefix):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["model"]["backbone"] = f"{prefix}resnet18.a1_in1k"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert load_params(tmp_path / "params.yaml").model.backbone == "resnet18.a1_in1k"


@pytest.mark.parametrize("name", ["hf-hub:somebody/brain", "somebody/brain", "https://example.org/x"])
def test_models_of_others_on_the_hub_are_named_as_such(refusal, name):
    said = refusal("model.backbone", name)
    assert "model.backbone" in said and "other repositories of a hub are not asked" in said


def test_another_freezing_rule_is_answered_with_those_that_there_are(refusal):
    line = refusal("model.freeze", "frist 3")
    assert all(rule in line for rule in ('"none"', '"backbone"', '"first N"', '"all but last N"', "got 'frist 3'"))


def test_neighbours_below_copies_only(refusal):
    assert "neighbour must not be above same" in refusal("dedupe.neighbour", 0.99)


def test_within_is_a_fold(refusal):
    assert "within is the number of a fold of kfold, 0 to 4, or null" in refusal("split.within", 5)


@pytest.mark.parametrize("head", ["svm", "knn"])
def test_fitted_heads_ask_for_a_frozen_network(refusal, head):
    assert "set freeze to backbone" in refusal("model.head", head)


@pytest.mark.parametrize("content", [b"", b"train: [", b"- a\n", b"a: \xff", b"a: 2001-05-32", b"[" * 5000], ids=repr)
def test_a_file_that_is_no_mapping_is_one_line(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(SystemExit, match=re.escape(f"{path}: ")) as exit:
        load_params(path)
    assert "\n" not in exit.value.code


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="No such file"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text, value", [("linear", "linear"), ("128", "128"), ('"128"', "128")])
def test_a_head_is_linear_or_a_width(tmp_path, text, value):
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text().replace("head: linear", f"head: {text}"))
    assert load_params(params).model.head == value


def leaves(values: dict, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and key != "labels":  # whose keys are the user's
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_key_is_declared_and_every_declared_key_is_there():
    assert {key for key, _ in _describe(Params)} == set(leaves(yaml.safe_load((ROOT / "params.yaml").read_text())))


def test_the_module_prints_a_line_a_key(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "stages/params.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [key for key, _ in _describe(Params)]
    assert any(line.startswith("split.folds") and "kfold" in line for line in lines)


def test_params_cannot_be_changed_by_a_stage():
    params = load_params(ROOT / "params.yaml")
    for section, name in ((params, "split"), (params.split, "folds"), (params.train.augment, "rotate")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, name, getattr(section, name))


def test_every_knob_says_what_it_means():
    assert [key for key, description in _describe(Params) if not description] == []
