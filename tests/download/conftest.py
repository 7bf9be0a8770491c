import random
import time

import pytest
from standin import SLUG, VERSION, pack, register

from benchmarks.torture.kaggle import ACCOUNT, serving


@pytest.fixture
def files():
    """Odd names, and enough bytes that a transfer can be cut in the middle."""
    noise = random.Random(0).randbytes
    return {
        "Training/glioma_tumor/gg (1).jpg": noise(2_500_000),
        "Training/Glioma_Tumor/Ünïcödé 脳 .jpg": noise(1000),
        "Testing/no_tumor/image(1).JPG": noise(500),
        "Testing/no_tumor/a&b;'%20' .png": b"",
        "readme": b"hello " * 500,
    }


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("BRAIN_MRI_MIRROR", raising=False)
    register()
    return folder


@pytest.fixture
def offline_kaggle(tmp_path, monkeypatch):
    """The real client with credentials, and nobody on the line; waits between retries are noted instead of sat out."""
    for variable in ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(variable, raising=False)
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for variable, value in (home | ACCOUNT).items():
        monkeypatch.setenv(variable, value)
    from kaggle.api.kaggle_api_extended import KaggleApi

    monkeypatch.setattr(KaggleApi, "config", str(tmp_path / "kaggle.json"))  # read from HOME once, on import
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture
def kaggle(offline_kaggle, files):
    with serving() as server:
        server.bundles[SLUG, VERSION] = pack(files)
        server.waits = offline_kaggle
        yield server
