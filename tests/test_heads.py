"""Fitted heads decide as scikit-learn does, in the loop of stages, in a file and in ONNX."""

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stages.attention import attention, find_layer
from stages.heads import NearestNeighbours, SupportVectorMachine
from stages.model import create_model, freeze, head_parameters, load_pretrained, load_state
from stages.train.fit import COSTS, NEIGHBOURS, fit_machines, fit_neighbours

FEATURES, CLASSES = 24, 4


@pytest.fixture(scope="module")
def data():
    """Features of overlapping classes, one of them constant and each on a scale of its own: 240 to fit, 400 to decide."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 640)
    features = random.normal(size=(CLASSES, FEATURES))[labels] * 0.6 + random.normal(size=(640, FEATURES))
    features = (features * random.uniform(0.1, 30, FEATURES) + 5).astype(np.float32)
    features[:, 3] = 7
    return torch.from_numpy(features[:240]), torch.from_numpy(labels[:240]), torch.from_numpy(features[240:])


def fitted(kind, data, weights=None):
    """A head of its own for each setting."""
    x, labels, _ = data
    fit = fit_machines if kind is SupportVectorMachine else fit_neighbours
    for _, state in fit(kind(FEATURES, CLASSES), x, labels, torch.ones(len(x), dtype=torch.float64) if weights is None else weights):
        head = kind(FEATURES, CLASSES)
        head.load_state_dict(state)
        yield head


def test_machines_have_the_margins_of_scikit_learn(data):
    x, labels, unseen = (part.numpy() for part in data)
    for head, cost in zip(fitted(SupportVectorMachine, data), COSTS, strict=True):
        theirs = make_pipeline(StandardScaler(), OneVsRestClassifier(SVC(C=cost))).fit(x.astype(float), labels)
        logits = head(data[2])
        assert logits.numpy() == pytest.approx(theirs.decision_function(unseen.astype(float)), abs=2e-3)  # SVC stops at a tolerance of 1e-3
        assert (logits.argmax(1).numpy() == theirs.predict(unseen.astype(float))).all()
        assert 0 < len(head.points) <= len(x)


def test_neighbours_vote_as_in_scikit_learn(data):
    x, labels, unseen = (part.numpy() for part in data)
    for head, count in zip(fitted(NearestNeighbours, data), NEIGHBOURS, strict=True):
        theirs = make_pipeline(StandardScaler(), KNeighborsClassifier(count)).fit(x.astype(float), labels)
        votes = theirs.predict_proba(unseen.astype(float)) * count
        assert head(data[2]).softmax(1).numpy() == pytest.approx((votes + 1 / CLASSES) / (count + 1), abs=1e-6)
        assert (head(data[2]).argmax(1).numpy() == theirs.predict(unseen.astype(float))).all()


def test_weights_of_pictures_count(data):
    x, labels, unseen = data
    weights = torch.where(labels == 0, 5.0, 1.0).double()
    for kind in (SupportVectorMachine, NearestNeighbours):
        plain, weighted = (list(fitted(kind, data, some))[1] for some in (None, weights))
        assert (weighted(unseen).argmax(1) == 0).sum() > (plain(unseen).argmax(1) == 0).sum()


def test_few_pictures_have_few_neighbours(data):
    few = data[0][:7], data[1][:7], data[2]
    assert [len(head.neighbours) for head in fitted(NearestNeighbours, few)] == [1, 3, 5]


@pytest.mark.parametrize("kind", [SupportVectorMachine, NearestNeighbours])
def test_a_head_takes_on_one_state_after_another(kind, data):
    head = kind(FEATURES, CLASSES)
    for other in fitted(kind, data):
        head.load_state_dict(other.state_dict())
        assert torch.equal(head(data[2]), other(data[2]))
    state = head.state_dict()
    del state["points"]
    with pytest.raises(RuntimeError, match="points"):
        head.load_state_dict(state)


@pytest.mark.parametrize("kind", [SupportVectorMachine, NearestNeighbours])
def test_autocast_changes_no_decision(kind, data):
    head = list(fitted(kind, data))[1]
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(data[2])
    assert torch.equal(logits, head(data[2]))


@pytest.mark.parametrize("kind", [SupportVectorMachine, NearestNeighbours])
def test_onnx_decides_alike(kind, data, tmp_path):
    head = list(fitted(kind, data))[1]
    batch = {"features": {0: torch.export.Dim("pictures")}}
    torch.onnx.export(head, (data[2][:2],), tmp_path / "head.onnx", dynamic_shapes=batch, opset_version=18, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "head.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, {"features": data[2].numpy()})[0] == pytest.approx(head(data[2]).numpy(), abs=1e-5)


@pytest.mark.parametrize("head", ["svm", "knn"])
@pytest.mark.parametrize(
    "backbone", ["resnet18", "tf_efficientnet_lite0", "vgg11", "torchvision.mobilenet_v3_small", "googlenet", "keras_cnn"]
)
def test_heads_stand_where_the_classifier_was(backbone, head):
    model, linear = (create_model(backbone, CLASSES, 0.3, 32, kind) for kind in (head, "linear"))
    places = {name.rpartition(".")[0] for name in head_parameters(linear)}
    assert {name.rpartition(".")[0] for name in model.state_dict().keys() - linear.state_dict().keys()} == places
    report = load_pretrained(model, linear.state_dict(), "test")
    assert report["replaced"] == [] and report["loaded"] == len(linear.state_dict()) - 2
    freeze(model, "backbone")
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, CLASSES)


@pytest.mark.parametrize("backbone", ["torchvision.squeezenet1_1", "deit_tiny_distilled_patch16_224"])
def test_other_classifiers_are_refused(backbone):
    with pytest.raises(SystemExit, match=f"model.head: svm takes the place of one linear layer, which {backbone} does not end with"):
        create_model(backbone, CLASSES, head="svm")


@pytest.mark.parametrize(("name", "fit"), [("svm", fit_machines), ("knn", fit_neighbours)])
def test_grad_cam_sees_what_the_head_decides_by(name, fit):
    torch.manual_seed(0)
    model = create_model("resnet18", 2, image_size=64, head=name).eval()
    x = 0.1 * torch.randn(12, 3, 64, 64)
    x[::2, :, :32, :32] += 3 * torch.randn(6, 3, 32, 32)  # of the first class is what has a corner of noise
    seen = []
    hook = model.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model(x)
    hook.remove()
    *_, (_, state) = fit(model.fc, seen[0], torch.arange(12) % 2, torch.ones(12))
    load_state(model, model.state_dict() | {f"fc.{key}": value for key, value in state.items()})
    assert (model(x).argmax(1) == torch.arange(12) % 2).all()
    maps = attention(model, find_layer(model, 64, "layer2"), x, np.arange(12) % 2)
    in_corner = maps[:, :32, :32].sum((1, 2)) / maps.sum((1, 2))
    assert in_corner[::2].min() > 0.5 > 0.4 > in_corner[1::2].max()
