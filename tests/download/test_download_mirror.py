"""Folders and zips on the disk: whatever the layout, the same bytes."""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from standin import SLUG, VERSION, lay_out, pack, refusal, register

from stages.download.__main__ import main

NAME = SLUG.split("/")[-1]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("BRAIN_MRI_MIRROR", str(folder))
    return folder


def shuffled(files, compression=zipfile.ZIP_DEFLATED):
    paths = list(files)
    random.Random(1).shuffle(paths)
    return pack({path: files[path] for path in paths}, compression)


def outputs():
    return Path("data/raw/tiny.zip").read_bytes(), Path("data/raw/tiny.json").read_bytes()


LAYOUTS = {
    "folder": lambda files, mirror: lay_out(files, mirror / SLUG),
    "zip beside": lambda files, mirror: lay_out({f"{SLUG}.zip": shuffled(files)}, mirror),
    "zip inside": lambda files, mirror: lay_out({f"{SLUG}/archive (1).ZIP": shuffled(files), f"{SLUG}/.DS_Store": b""}, mirror),
    "zip on top": lambda files, mirror: lay_out({f"{NAME}.zip": shuffled(files, zipfile.ZIP_STORED)}, mirror),
    "bzip2": lambda files, mirror: lay_out({f"{NAME}.zip": shuffled(files, zipfile.ZIP_BZIP2)}, mirror),
    "notebook": lambda files, mirror: lay_out(files, mirror / NAME),
    "newer notebook": lambda files, mirror: lay_out(files, mirror / "datasets" / SLUG),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bytes_from_everywhere(kaggle, mirror, monkeypatch, files, layout):
    LAYOUTS[layout](files | {"Training/.DS_Store": b"junk"}, mirror)
    main("tiny")
    from_disk = outputs()
    assert not kaggle.transfers
    monkeypatch.delenv("BRAIN_MRI_MIRROR")
    main("tiny")
    assert kaggle.transfers == [None]
    assert outputs() == from_disk
    manifest = json.loads(from_disk[1])
    assert manifest["slug"] == SLUG and manifest["version"] == VERSION and manifest["members"] == len(files)
    assert manifest["bytes"] == sum(map(len, files.values())) and len(manifest["sha256"]) == 64
    assert list(manifest) == ["slug", "version", "title", "licence", "attribution", "members", "bytes", "sha256"]


def test_not_there(kaggle, mirror):
    line = refusal()
    for place in (SLUG, f"{SLUG}.zip", f"{NAME}.zip", f"datasets/{SLUG}", str(mirror), "unset BRAIN_MRI_MIRROR"):
        assert place in line
    assert not kaggle.transfers  # no download behind the user's back


def test_mirror_does_not_exist(monkeypatch):
    monkeypatch.setenv("BRAIN_MRI_MIRROR", "nowhere")
    assert "BRAIN_MRI_MIRROR=nowhere" in refusal() and "absolute path" in refusal()


def test_a_relative_path_is_taken_where_it_leads_somewhere(mirror, monkeypatch):
    lay_out({"a.jpg": b"1"}, mirror / SLUG)
    monkeypatch.setenv("BRAIN_MRI_MIRROR", "../mirror")
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == ["a.jpg"]


def test_empty_folder(mirror):
    (mirror / SLUG).mkdir(parents=True)
    assert "holds no files" in refusal()


def test_a_zip_among_files_is_a_file(mirror):
    lay_out({"a.zip": pack({"x": b"1"}), "b.jpg": b"2"}, mirror / SLUG)
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == ["a.zip", "b.jpg"]


def test_paths_are_kept_as_they_are(mirror):
    """A single top folder more is another set of paths, where no edition says what belongs there."""
    lay_out({f"{NAME}/a/x.jpg": b"1"}, mirror / SLUG)
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == [f"{NAME}/a/x.jpg"]


WRAPPED = {
    "folder": lambda files, mirror: lay_out(files, mirror / SLUG / NAME),
    "zip": lambda files, mirror: lay_out({f"{SLUG}.zip": shuffled({f"{NAME}/{path}": data for path, data in files.items()})}, mirror),
    "zip of a Mac": lambda files, mirror: lay_out(
        {f"{NAME}.zip": shuffled({f"Ein Ordner/{path}": data for path, data in files.items()} | {"__MACOSX/Ein Ordner/._x": b"junk"})},
        mirror,
    ),
}


@pytest.mark.parametrize("layout", WRAPPED)
def test_a_folder_around_a_known_edition_is_left_out(mirror, files, layout):
    lay_out(files, mirror / SLUG)
    main("tiny")
    expected = outputs()
    manifest = json.loads(expected[1])
    register(editions=[{"members": len(files), "bytes": manifest["bytes"], "digest": manifest["sha256"]}])
    shutil.rmtree(mirror)
    WRAPPED[layout](files, mirror)
    main("tiny")
    assert outputs() == expected


def test_a_folder_around_other_files_than_a_known_edition_s_is_refused(mirror, files):
    register(editions=[{"members": len(files), "digest": "0" * 64}])
    lay_out(files, mirror / SLUG / NAME)
    with_it = refusal()
    lay_out({"beside": b""}, mirror / SLUG)
    assert "is not a known edition" in with_it and f"found {len(files)} files" in with_it
    assert f"found {len(files) + 1} files" in refusal()


LITTER = [
    "Training/._gg.jpg",
    "Icon\r",
    ".ipynb_checkpoints/gg-checkpoint.jpg",
    ".directory",
    "Training/@eaDir/gg.jpg/SYNOPHOTO_THUMB_M.jpg",
    "Thumbs.db",
]
LITTER += ["__MACOSX/._a", ".DS_Store", "$RECYCLE.BIN/a.jpg", "System Volume Information/x", ".Spotlight-V100/x", "Training/desktop.ini"]


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not take")
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_what_systems_leave_in_folders_is_no_part_of_a_set(mirror, files, form):
    register(editions=[{"members": len(files)}])
    littered = files | dict.fromkeys(LITTER, b"x")
    lay_out(littered, mirror / SLUG) if form == "folder" else lay_out({f"{SLUG}.zip": pack(littered)}, mirror)
    main("tiny")


def test_what_may_be_surplus_is_named(mirror, files):
    register(editions=[{"members": len(files)}])
    lay_out(files | {"Training/notes.docx": b"1", ".cache/a.jpg": b"2"}, mirror / SLUG)
    line = refusal()
    assert f"found {len(files) + 2} files" in line and "'Training/notes.docx'" in line and "'.cache/a.jpg'" in line


def test_the_pinned_version_of_kagglehub_s_cache(mirror, files):
    place = mirror / "datasets" / SLUG
    lay_out({"new.jpg": b"1"}, place / f"versions/{VERSION + 1}")
    (place / f"{VERSION + 1}.complete").touch()
    assert f"does not hold version {VERSION} (there: {VERSION + 1})" in refusal()
    lay_out(files, place / f"versions/{VERSION}")
    register(editions=[{"members": len(files)}])
    main("tiny")


def test_two_folders_side_by_side_wrap_nothing(mirror):
    lay_out({"a/x.jpg": b"1", "ab/x.jpg": b"2"}, mirror / SLUG)
    digest = hashlib.sha256("".join(f"{hashlib.sha256(n).hexdigest()} {p}\n" for n, p in ((b"1", "x.jpg"), (b"2", "b/x.jpg"))).encode())
    register(editions=[{"members": 2, "digest": digest.hexdigest()}])
    assert "is not a known edition" in refusal()


def test_links_that_stay(mirror, tmp_path, files):
    """Hard links, a linked data set, and links to files and folders inside it."""
    elsewhere = lay_out({"a/x.jpg": b"1"}, tmp_path / "elsewhere")
    os.link(elsewhere / "a/x.jpg", elsewhere / "a/hard.jpg")
    (elsewhere / "a/soft.jpg").symlink_to("x.jpg")
    (elsewhere / "b").symlink_to("a")
    (mirror / SLUG).parent.mkdir()
    (mirror / SLUG).symlink_to(elsewhere)
    main("tiny")
    with zipfile.ZipFile("data/raw/tiny.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"{folder}/{name}.jpg": b"1" for folder in "ab" for name in ("hard", "soft", "x")
        }


ASTRAY = {"x.jpg": "../secret", "folder": "../private", "broken": "gone", "circle": ".", "up/down": ".."}


@pytest.mark.parametrize("link, target", ASTRAY.items())
def test_links_that_leave(mirror, link, target):
    place = lay_out({"a.jpg": b"1", "up/b.jpg": b"1"}, mirror / SLUG)
    lay_out({"secret": b"s", "private/s": b"s"}, mirror / "owner")
    (place / link).symlink_to(target)
    assert f"{place / link}: refused" in refusal()


def test_special_files(mirror):
    place = lay_out({"a.jpg": b"1"}, mirror / SLUG)
    os.mkfifo(place / "pipe")
    assert "pipe: refused, not a regular file" in refusal()
    (place / "pipe").unlink()
    here = os.getcwd()
    os.chdir(place)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    os.chdir(here)
    assert "socket: refused, not a regular file" in refusal()


def test_name_that_no_zip_can_hold(mirror):
    place = lay_out({"a.jpg": b"1"}, mirror / SLUG)
    try:
        (place / os.fsdecode(b"\xff.jpg")).write_bytes(b"2")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    assert "rename it" in refusal()


def test_file_that_grows_while_it_is_read(mirror):
    lay_out({"a.jpg": b"1"}, mirror / SLUG)
    from stages.download.archive import Files, write_archive
    from stages.download.mirror import mirror_files

    with mirror_files(mirror, SLUG, VERSION) as files:
        files = Files(list(files.members), files.read)
        (mirror / SLUG / "a.jpg").write_bytes(b"12")
        with pytest.raises(SystemExit, match="announced"):
            write_archive(files, mirror / "x.zip.part")


def test_file_that_vanishes(mirror, monkeypatch):
    """Any fault of the disk is one line with the file in it."""
    place = lay_out({"a.jpg": b"1"}, mirror / SLUG)
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (place / "a.jpg").unlink() or usage(folder))
    with pytest.raises(SystemExit, match=r"a\.jpg: No such file or directory; .*run again"):
        main("tiny")
    assert not list(Path("data/raw").iterdir())


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="no second file system that anybody may write to")
def test_data_may_lie_on_another_disk(mirror, files):
    lay_out(files, mirror / SLUG)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        Path("data/raw").symlink_to(other)
        main("tiny")
        assert sorted(path.name for path in Path(other).iterdir()) == ["tiny.json", "tiny.zip"]


def test_generated_set_needs_no_mirror(mirror, monkeypatch):
    """The generator itself is tested elsewhere; here it is one that takes no time."""
    generator = ModuleType("stages.download.phantom")
    generator.phantom_members = lambda spec: {"b/2.png": b"%d" % spec.seed, "a/1.png": b"1"}
    monkeypatch.setitem(sys.modules, generator.__name__, generator)
    register(phantom={"patients_per_class": 5, "seed": 42})
    main("tiny")
    with zipfile.ZipFile("data/raw/tiny.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a/1.png": b"1", "b/2.png": b"42"}


def test_command_line(mirror):
    lay_out({"a.jpg": b"1"}, mirror / SLUG)

    def run(*arguments):
        command, environment = [sys.executable, "-m", "stages.download", *arguments], os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = run("tiny")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unknown = run("other")
    assert unknown.returncode == 1 and "'other' is not in data/sources.yaml" in unknown.stderr and unknown.stderr.count("\n") == 1
    register(editions=[{"members": 5}])
    mismatch = run("tiny")
    assert mismatch.returncode == 1 and "expected 5 files" in mismatch.stderr and mismatch.stderr.count("\n") == 1
