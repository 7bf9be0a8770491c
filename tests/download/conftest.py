import contextlib
import random
import threading
import time

import pytest
from standin import PORT, SLUG, VERSION, Kaggle, pack, register


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
    account = {"KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLE_USERNAME": "me", "KAGGLE_KEY": "secret"}
    for variable, value in (home | account | {"NO_PROXY": "localhost"}).items():
        monkeypatch.setenv(variable, value)
    from kaggle.api.kaggle_api_extended import KaggleApi

    monkeypatch.setattr(KaggleApi, "config", str(tmp_path / "kaggle.json"))  # read from HOME once, on import
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture
def kaggle(offline_kaggle, files):
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):  # another run of the tests may hold the port for a moment
            server = Kaggle()
            break
        assert time.monotonic() < deadline, f"port {PORT} is taken, and the kaggle client knows no other for tests"
        threading.Event().wait(0.2)
    server.bundles[SLUG, VERSION] = pack(files)
    server.waits = offline_kaggle
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
