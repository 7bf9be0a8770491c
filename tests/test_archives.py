import multiprocessing
import zipfile
from pathlib import Path

import pytest

from stages.archives import read_member, read_stored


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
