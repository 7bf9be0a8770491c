"""Kaggle's own client against a stand-in for Kaggle."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from standin import SLUG, VERSION, pack, refusal, register

from stages.download.__main__ import main

ROOT = Path(__file__).parents[2]
PARTIAL = Path(".scratch/download/tiny/owner-tiny-set-3.zip")


def holds(files):
    with zipfile.ZipFile("data/raw/tiny.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()} == files


def run_stage(**environment):
    environment = {name: value for name, value in (os.environ | {"PYTHONPATH": str(ROOT)} | environment).items() if value is not None}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.download", "tiny"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_pinned_version(kaggle, files):
    kaggle.bundles[SLUG, VERSION + 1] = pack({"new.jpg": b"1"})
    main("tiny")
    assert holds(files)
    assert not PARTIAL.parent.exists()  # nothing is left lying about


def test_resumes_after_a_cut(kaggle, files):
    kaggle.cuts = [1_500_000, 200_000]
    main("tiny")
    assert holds(files)
    first, *others = kaggle.transfers
    assert first is None and len(others) == 2 and all(wanted.startswith("bytes=1") for wanted in others)
    assert all(wait >= 2 for wait in kaggle.waits)


def test_resumes_after_a_kill(kaggle, files):
    kaggle.hold = threading.Event()
    process = run_stage()
    for _ in range(300):
        if PARTIAL.exists() and PARTIAL.stat().st_size:
            break
        threading.Event().wait(0.1)
    process.kill()
    process.communicate()
    assert PARTIAL.stat().st_size >= 1 << 20 and not list(Path("data/raw").iterdir())
    have = PARTIAL.stat().st_size
    kaggle.hold.set()
    main("tiny")
    assert kaggle.transfers[-1] == f"bytes={have}-" and holds(files)


def test_resumes_after_silence(kaggle, files, monkeypatch):
    monkeypatch.setattr("stages.download.kaggle_client.SILENCE", 0.2)
    kaggle.hold = threading.Event()
    monkeypatch.setattr(time, "sleep", lambda _: kaggle.hold.set())  # the wait before the retry
    main("tiny")
    assert kaggle.transfers[1].startswith("bytes=1") and holds(files)


def test_silence_after_a_retry_is_noticed_as_soon(kaggle, files, monkeypatch):
    monkeypatch.setattr("stages.download.kaggle_client.SILENCE", 0.2)
    files = files | {"large.jpg": os.urandom(3_000_000)}  # each transfer but the last ends in silence after 2 MB
    kaggle.bundles[SLUG, VERSION] = pack(files)
    kaggle.hold = threading.Event()
    waits = []
    monkeypatch.setattr(time, "sleep", lambda _: waits.append(1) or len(waits) == 2 and kaggle.hold.set())
    begun = time.monotonic()
    main("tiny")
    assert time.monotonic() - begun < 20 and len(kaggle.transfers) == 3 and holds(files)


def test_partial_of_another_content_is_not_resumed(kaggle, files):
    kaggle.cuts = [1_500_000] + [0] * 5
    assert "run again to go on" in refusal()
    assert PARTIAL.stat().st_size >= 1 << 20 and len(kaggle.transfers) == 6
    files = files | {"another.jpg": b"1"}
    kaggle.bundles[SLUG, VERSION] = pack(files)
    main("tiny")
    assert holds(files)


def test_error_page_in_place_of_the_rest(kaggle, files):
    """The client writes it into the file; it must not be taken for a part of the archive by the next run."""
    kaggle.cuts, kaggle.transfer_faults = [1_500_000], [200, 503, 503]
    assert "something else than announced" in refusal() and not PARTIAL.exists()
    main("tiny")
    assert holds(files)


@pytest.mark.parametrize("faults", [[500], [429], [503, 502, 429, 504]])
def test_passing_faults(kaggle, files, faults):
    kaggle.faults = faults
    main("tiny")
    assert holds(files) and not kaggle.faults
    assert 7 in kaggle.waits  # as its Retry-After asks


@pytest.mark.parametrize("status, advice", [(500, "try again later"), (429, "try again later")])
def test_lasting_faults(kaggle, status, advice):
    kaggle.faults = [status] * 20
    line = refusal()
    assert f"Kaggle answers {status}" in line and advice in line
    assert len(kaggle.faults) == 15  # asked five times


@pytest.mark.parametrize("status, advice", [(401, "KAGGLE_API_TOKEN"), (403, "accept the terms"), (404, "check archive.slug")])
def test_refusals(kaggle, status, advice):
    kaggle.faults = [status, 401]
    line = refusal()
    assert f"Kaggle answers {status}" in line and advice in line and f"https://www.kaggle.com/datasets/{SLUG}" in line
    assert len(kaggle.faults) == 1  # not asked again


def test_a_wait_of_hours_is_left_to_the_next_run(kaggle, files):
    kaggle.faults, kaggle.retry_after = [429], 7200
    assert "Kaggle answers 429; try again later; it asks to wait 7200 s" in refusal()
    assert not kaggle.waits
    main("tiny")
    assert holds(files)


@pytest.fixture
def silent_proxy(monkeypatch):
    """One that takes connections and says nothing."""
    monkeypatch.setattr("stages.download.kaggle_client.SILENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield


@pytest.mark.parametrize("account", ["token", "oauth", "key"])
@pytest.mark.parametrize("where", ["TEST", "PROD"])
def test_a_proxy_that_never_answers_has_an_end(offline_kaggle, silent_proxy, monkeypatch, tmp_path, account, where):
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", where)
    if account != "key":
        monkeypatch.delenv("KAGGLE_KEY")
    if account == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
    if account == "oauth":
        (tmp_path / ".kaggle").mkdir()
        (tmp_path / ".kaggle/credentials.json").write_text('{"refresh_token": "x", "username": "me"}')
    begun = time.monotonic()
    line = refusal()
    assert "the download broke off (no answer within 0.2 s); check the network, HTTPS_PROXY" in line
    assert time.monotonic() - begun < 20


ODD_ACCOUNTS = {
    "in UTF-16": ('{"username": "me", "key": "k"}'.encode("utf-16"), "is not in UTF-8"),
    "with a BOM": (b'\xef\xbb\xbf{"username": "me", "key": "k"}', "in UTF-8 without a BOM"),
    "no JSON": (b"username=me", "is no JSON"),
    "a list": (b"[]", "has no username and no key"),
    "without a key": (b'{"username": "me"}', "has no key"),
}


@pytest.mark.parametrize(("content", "why"), ODD_ACCOUNTS.values(), ids=ODD_ACCOUNTS)
def test_an_odd_kaggle_json_is_named_and_the_partial_download_stays(offline_kaggle, monkeypatch, tmp_path, content, why):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "kaggle.json").write_bytes(content)
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle/kaggle.json").write_bytes(content)  # part of the client looks here always
    PARTIAL.parent.mkdir(parents=True)
    PARTIAL.write_bytes(b"PK")
    line = refusal()
    assert "kaggle.json" in line and why in line and PARTIAL.exists()


@pytest.mark.parametrize("key", ["\u201ckey\u201d", "key\u00a0", "k\ney"])
def test_a_key_with_letters_of_no_key_is_about_credentials(offline_kaggle, monkeypatch, key):
    monkeypatch.setenv("KAGGLE_KEY", key)
    PARTIAL.parent.mkdir(parents=True)
    PARTIAL.write_bytes(b"PK")
    assert "the Kaggle credentials cannot be used" in refusal() and PARTIAL.exists()


def test_wrong_key(kaggle, monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    assert "Kaggle answers 401" in refusal()


@pytest.mark.parametrize("amiss", [{"version": 9}, {"slug": "owner/other-set"}])
def test_wrong_slug_or_version(kaggle, amiss):
    register(**amiss)
    assert "Kaggle answers 404" in refusal()


def test_wrong_version_delivered(kaggle, files):
    kaggle.bundles[SLUG, VERSION] = pack(files | {"one more.jpg": b"1"})
    register(editions=[{"members": len(files)}])
    assert f"expected {len(files)} files; found {len(files) + 1} files" in refusal()
    register(editions=[{"members": len(files) + 1}])
    kaggle.hold = threading.Event()  # who reads a transfer to its end now waits in vain
    main("tiny")
    kaggle.hold.set()
    assert kaggle.transfers == [None, None]  # asked for, but the download that is there was taken


@pytest.mark.parametrize("damage", ["truncated", "altered", "no zip"])
def test_damaged_zip(kaggle, files, damage):
    good = kaggle.bundles[SLUG, VERSION]
    damaged = {"truncated": good[:-30], "altered": good[:1_000_000] + bytes(100) + good[1_000_100:], "no zip": b"<html>"}
    kaggle.bundles[SLUG, VERSION] = damaged[damage]
    assert "damaged" in refusal() and not PARTIAL.exists()
    kaggle.bundles[SLUG, VERSION] = good
    main("tiny")
    assert holds(files)


def test_too_little_disk(kaggle, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 4_000_000))  # the zip fits, its canonical copy does not
    assert "5 MB needed, 4 MB free" in refusal()
    assert not PARTIAL.exists()


def test_network_down(offline_kaggle):
    line = refusal()
    assert "check the network" in line and "BRAIN_MRI_MIRROR" in line
    assert sum(offline_kaggle) >= 10  # patient first


def test_no_credentials(kaggle, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    assert "no Kaggle credentials" in refusal() and "KAGGLE_API_TOKEN" in refusal()
    process = run_stage()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "") and err.startswith("no Kaggle credentials") and err.count("\n") == 1
