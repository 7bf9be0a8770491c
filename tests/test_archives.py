import multiprocessing
import shutil
import zipfile
from pathlib import Path

import pytest

from stages.archives import directory, read_member, read_stored, seek_data


def write(path: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def read_often(path: Path, members: list[str], result) -> None:
    result.put(all(read_member(path, name) == name.encode() * 50_000 for name in members * 20))


def test_processes_that_are_forked_after_a_read_do_not_disturb_one_another(tmp_path):
    names = [f"{n:03}" for n in range(40)]
    write(tmp_path / "a.zip", {name: name.encode() * 50_000 for name in names})
    assert read_member(tmp_path / "a.zip", "000") == b"000" * 50_000
    context = multiprocessing.get_context("fork")
    result = context.SimpleQueue()
    processes = [context.Process(target=read_often, args=(tmp_path / "a.zip", names[n::4], result)) for n in range(4)]
    for process in processes:
        process.start()
    assert [result.get() for _ in processes] == [True] * 4
    for process in processes:
        process.join()


def test_another_archive_under_the_same_relative_path_is_another_archive(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        write(Path("a.zip"), {"name": folder.encode()})
        assert read_member(Path("a.zip"), "name") == folder.encode()


def test_a_stored_member_is_read_without_the_directory(tmp_path):
    path = tmp_path / "a.zip"
    write(path, {"one": b"first", "länger/two": b"second", "empty": b""})
    with zipfile.ZipFile(path) as archive:
        places = {info.filename: (info.header_offset, info.file_size, info.CRC) for info in archive.infolist()}
    for name, place in places.items():
        assert read_stored(path, *place) == read_member(path, name)


def test_damaged_bytes_are_not_taken_for_a_member(tmp_path):
    path = tmp_path / "a.zip"
    write(path, {"one": b"first"})
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("one")
    path.write_bytes(path.read_bytes().replace(b"first", b"furst"))
    with pytest.raises(zipfile.BadZipFile, match="a.zip: damaged at byte 0"):
        read_stored(path, info.header_offset, info.file_size, info.CRC)


PLACE = ("filename", "flag_bits", "compress_type", "CRC", "file_size", "compress_size", "external_attr", "header_offset")


def places(infos) -> list[tuple]:
    return [tuple(getattr(info, name) for name in PLACE) for info in infos]


@pytest.fixture(params=["plain", "with a comment", "behind other bytes", "beyond 4 GiB", "of 70,000 members", "empty"])
def form(request, tmp_path) -> Path:
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        if request.param == "beyond 4 GiB":
            file.seek(5 << 30)  # a hole, which takes no room
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            if request.param == "with a comment":
                archive.comment = b"comment" * 9000
            for number in range({"of 70,000 members": 70_000, "empty": 0}.get(request.param, 3)):
                archive.writestr(f"ü/{number}", b"%d" % number * 100)
    if request.param == "behind other bytes":
        path.write_bytes(b"#!/bin/sh\n" * 100 + path.read_bytes())
    return path


def test_the_directory_is_what_zipfile_reads(form):
    with zipfile.ZipFile(form) as archive:
        expected = places(archive.infolist())
    assert places(directory(form)) == expected
    with form.open("rb") as file:
        for info in list(directory(form))[-2:]:
            seek_data(file, info.header_offset)
            with zipfile.ZipExtFile(file, "r", info) as member:
                assert member.read() == info.filename[2:].encode() * 100


def test_a_member_of_more_than_4_GiB_has_its_size_in_the_directory(tmp_path):
    """Its name is not followed by that many bytes here: the directory does not ask."""
    path = tmp_path / "a.zip"
    info = zipfile.ZipInfo("large")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small", b"1")
        archive.writestr(info, b"2")
        info.file_size, info.compress_size = 5 << 30, 6 << 30
    assert [(info.file_size, info.compress_size) for info in directory(path)] == [(1, 1), (5 << 30, 6 << 30)]


def test_every_cut_of_an_archive_is_noticed(tmp_path):
    whole, cut = tmp_path / "a.zip", tmp_path / "cut.zip"
    write(whole, {"one": b"first", "two": b"second"})
    for length in range(whole.stat().st_size):
        shutil.copy(whole, cut)
        with cut.open("r+b") as file:
            file.truncate(length)
        with pytest.raises(zipfile.BadZipFile):
            list(directory(cut))


@pytest.mark.parametrize("where", [b"PK\1\2", b"PK\3\4"])
def test_what_is_no_entry_is_not_taken_for_one(tmp_path, where):
    path = tmp_path / "a.zip"
    write(path, {"one": b"first"})
    path.write_bytes(path.read_bytes().replace(where, b"PK\0\0"))
    with pytest.raises(zipfile.BadZipFile, match="no entry of the directory at byte 38|no member at byte 0"), path.open("rb") as file:
        for info in directory(path):
            seek_data(file, info.header_offset)
