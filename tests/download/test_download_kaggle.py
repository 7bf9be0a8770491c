"""Kaggle's own client against a stand-in for Kaggle."""

import os
import shutil
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
