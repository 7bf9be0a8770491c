"""The web page as a visitor meets it: a server of its own, a browser, and requests that no browser sends."""

import html
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from browser import needs_chromium, show
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import presence_of_element_located
from selenium.webdriver.support.wait import WebDriverWait
from synthetic import ROOT, encode

from stages.catalog import PREDICTIONS, read_table
from stages.predict import package
from stages.predict.predictor import predict

PYTHON = Path(sys.prefix, "serve/bin/python")
NASTY = "<img src=x onerror=document.title='taken'>${1+1}{{value}}.png"
FORM = "multipart/form-data; boundary=line"
LARGEST = 20 * 2**20
CAUTION = "Research software and no medical device"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="needs Gradio: `make .venv/serve/installed`")]


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """The page's address, the folder in which its process makes temporary files, and what it prints; when it ends, the folder is empty."""
    temporary, log = tmp_path_factory.mktemp("temporary"), tmp_path_factory.mktemp("log") / "log.txt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PYTHON, "-m", "tools.serve", "--package", exported.folder / "export", "--port", str(port)]
    nobody = {"http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}  # and the page asks itself whether it is there
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | nobody | {"TMPDIR": str(temporary)}
    with log.open("w") as errors, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors) as server:
        address = server.stdout.readline().decode().strip()
        assert address == f"http://127.0.0.1:{port}/", log.read_text()
        assert CAUTION in server.stdout.readline().decode()
        yield SimpleNamespace(url=address, port=port, temporary=temporary, log=log)
        server.send_signal(signal.SIGTERM)
    assert list(temporary.iterdir()) == []


def files(served) -> list[Path]:
    """What is left of visitors' pictures."""
    return [path for path in served.temporary.rglob("*") if path.is_file()]


def post(served, route: str, body, kind: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{served.url}gradio_api/{route}", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def upload(served, name: str, content: bytes) -> dict:
    """Leave a file there, as the page does; what is to be said to `ask` about it."""
    status, answer = post(served, "upload", form(name, content), FORM)
    assert status == 200, answer
    return {"path": json.loads(answer)[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def form(name: str, content: bytes) -> bytes:
    head = f'--line\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--line--\r\n"


def join(served, argument) -> tuple[int, str]:
    session = uuid.uuid4().hex
    body = json.dumps({"data": [argument], "fn_index": 0, "session_hash": session}).encode()
    return post(served, "queue/join", body, "application/json")[0], session


def ask(served, argument) -> str | None:
    """The page's answer to a call, without markup; None if the call fails."""
    status, session = join(served, argument)
    assert status == 200
    with urllib.request.urlopen(f"{served.url}gradio_api/queue/data?session_hash={session}", timeout=120) as events:
        messages = (json.loads(line.removeprefix(b"data:")) for line in events if line.startswith(b"data:"))
        last = next(message for message in messages if message["msg"] == "process_completed")
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", last["output"]["data"][1])).split()) if last["success"] else None


def picture() -> bytes:
    """A test picture of the synthetic set."""
    with zipfile.ZipFile("data/raw/phantom.zip") as archive:
        return archive.read(read_table(PREDICTIONS).image_id[0].removeprefix("phantom/"))


def blank(width: int, height: int, level: int = 0) -> bytes:
    return encode(Image.new("L", (width, height), level))


def drop(browser, served, file: Path):
    """Open the page, drop a file, wait for the answer."""
    browser.get(served.url)
    wait = WebDriverWait(browser, 120)
    wait.until(presence_of_element_located((By.CSS_SELECTOR, "input[type=file]"))).send_keys(str(file))
    return wait.until(presence_of_element_located((By.CSS_SELECTOR, ".result")))


@needs_chromium
def test_a_dropped_picture_gets_what_the_command_says(served, browser, project, tmp_path):
    content = picture()
    (tmp_path / NASTY).write_bytes(content)
    show(browser)
    result = drop(browser, served, tmp_path / NASTY)
    expected = next(predict(package.load(package.PACKAGE), [(NASTY, content)]))
    assert result.find_element(By.TAG_NAME, "h2").text == expected["class"]
    cells = {row.text.split()[0]: float(row.text.split()[1].rstrip("%")) / 100 for row in result.find_elements(By.TAG_NAME, "tr")}
    assert cells == pytest.approx({name: expected[f"p_{name}"] for name in project.classes}, abs=2e-3)
    assert f"Plane: {expected['plane']}" in result.text
    overlay = result.find_element(By.TAG_NAME, "img")
    assert browser.execute_script("return arguments[0].naturalWidth", overlay) == package.load(package.PACKAGE).about["image_size"]
    assert "Grad-CAM" in overlay.get_attribute("alt")
    assert CAUTION in result.text and CAUTION in browser.find_element(By.CLASS_NAME, "caution").text

    assert result.text.startswith(NASTY)
    assert browser.title == "Brain MRI classification"
    assert files(served) == []


@needs_chromium
def test_the_browser_asks_nobody_else(served, browser, project, tmp_path):
    (tmp_path / "picture.png").write_bytes(picture())
    browser.get("about:blank")
    browser.get_log("performance")
    drop(browser, served, tmp_path / "picture.png")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith(f"{served.url}gradio_api/upload") for url in asked)
    assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    browser.execute_script("document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))")
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_scheme(served, browser, project, tmp_path, scheme):
    (tmp_path / f"{'long' * 30}.png").write_bytes(picture())
    show(browser, 390, scheme)
    drop(browser, served, tmp_path / f"{'long' * 30}.png")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    red = browser.execute_script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) < 64) == (scheme == "dark")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"<svg onload=alert(1)>", "not an image"), (blank(8000, 7000), "too large"), (blank(200, 200)[:-60], "damaged: OSError")],
)
def test_what_is_no_usable_picture_is_one_line(served, content, reason):
    assert ask(served, upload(served, "a&b.png", content)) == f"a&b.png: {reason}"
    assert files(served) == []


def test_a_picture_of_something_else_is_warned_of(served):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8))
    assert "Warning: demonstration: these networks were trained on synthetic images; unlike the training pictures" in ask(
        served, upload(served, "noise.png", encode(noise))
    )


def test_the_same_picture_comes_twice(served, project):
    first, second = upload(served, "a.png", picture()), upload(served, "b.png", picture())
    assert ask(served, first).startswith("a.png") and ask(served, second).startswith("b.png")
    assert files(served) == []


def test_too_many_bytes_are_refused(served):
    assert post(served, "upload", form("a.png", bytes(LARGEST + 1)), FORM)[0] == 413
    assert files(served) == []


@pytest.mark.parametrize("header", [("Content-Length", str(2 * LARGEST)), ("Transfer-Encoding", "chunked")])
def test_a_request_that_may_be_too_large_is_refused_before_it_is_read(served, header):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", FORM)
    connection.putheader(*header)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}])
def test_no_file_that_a_visitor_names_is_read_or_removed(served, exported, tmp_path, meta):
    inside, outside = served.temporary / "secret.png", tmp_path / "secret.png"
    for path in (inside, outside):
        path.write_bytes(blank(100, 100))
    uploaded = Path(upload(served, "own.png", blank(100, 100))["path"])
    climbing = uploaded.parents[2] / uploaded.parents[1].name / ".." / inside.name
    for path in (inside, outside, climbing, exported.folder / "export/package.json", "/etc/passwd", uploaded.parent, "../README.md"):
        assert ask(served, {"path": str(path), "orig_name": "x.png", **meta}) is None, path
        assert Path(path).exists() or path == "../README.md"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{served.url}gradio_api/file={path}", timeout=60)
    inside.unlink()
    uploaded.unlink()


def test_no_address_that_a_visitor_names_is_called(served):
    argument = {"path": "http://example.org/x.png", "meta": {"_type": "gradio.FileData"}}
    assert ask(served, argument) is None
    assert "example.org: this page calls nobody" in served.log.read_text()
    for route in ("gradio_api/file=http://example.org/x.png", "gradio_api/proxy=http://example.org/x.png", "gradio_api/deep_link"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(served.url + route, timeout=60)


def test_a_crowd_is_turned_away_and_the_page_goes_on(served, project):
    large = [upload(served, "large.png", blank(7000, 7000, level)) for level in range(3)]
    statuses = [join(served, argument)[0] for argument in [*large, *[None] * 12]]
    assert statuses[:4] == [200] * 4 and 503 in statuses
    for _ in range(120):
        if not files(served):
            break
        time.sleep(1)
    assert ask(served, upload(served, "a.png", picture())).startswith("a.png")


def test_only_this_machine_can_reach_it(served):
    with socket.socket() as other:  # all of 127.0.0.0/8 is this machine, and a server that listens everywhere answers on all of it
        assert other.connect_ex(("127.0.0.2", served.port)) != 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "0"], "'0' is no port; there are 1 to 65535"),
        (["--port", "99999"], "'99999' is no port"),
        (["--host", "no.such.host.invalid"], "--host: there is no address of no.such.host.invalid"),
        (["--host", "a" * 300], "--host: there is no address of aaaa"),
        (["--host", "a..b"], "--host: there is no address of a..b"),
    ],
)
def test_an_odd_port_or_host_is_one_line(exported, arguments, message):
    command = [PYTHON, "-m", "tools.serve", "--package", exported.folder / "export", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode and message in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("python", "message"), [(PYTHON, "`make export` writes a model package"), (sys.executable, "`make serve` installs it into .venv/serve")]
)
def test_what_is_missing_is_named(tmp_path, python, message):
    ended = subprocess.run([python, "-m", "tools.serve", "--package", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1 and message in ended.stderr and "Traceback" not in ended.stderr
