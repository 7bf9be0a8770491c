"""The canonical archive: its form, its digest, and what is refused."""

import hashlib
import io
import random
import shutil
import stat
import struct
import tracemalloc
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from standin import SLUG, pack, refusal, register

from stages.download.__main__ import main
from stages.download.archive import Files, Member, canonical_path, open_zip, write_archive


@pytest.fixture
def mirror(project, monkeypatch):
    """The zip that the stage is going to read."""
    place = project / "mirror" / f"{SLUG}.zip"
    place.parent.mkdir(parents=True)
    monkeypatch.setenv("BRAIN_MRI_MIRROR", str(project / "mirror"))
    return place


def special(path, mode, data=b"x"):
    info = zipfile.ZipInfo(path)
    info.create_system, info.external_attr = 3, mode << 16
    return info, data


PINNED = "fadbea91247618c618bd0b251c4688533b0c547e71c254e09c0b9638a879c1e7"


def zip_of(*entries) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in entries:
            archive.writestr(info, data)
    return buffer.getvalue()


def test_form(mirror, files):
    mirror.write_bytes(pack(files))
    main("tiny")
    with zipfile.ZipFile("data/raw/tiny.zip") as archive:
        infos = archive.infolist()
        assert {info.filename: archive.read(info) for info in infos} == files
        assert archive.comment == b"" and archive.testzip() is None
    assert [info.filename for info in infos] == sorted(files)
    for info in infos:
        assert (info.compress_type, info.date_time, info.extra, info.comment) == (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0), b"", b"")
        assert info.external_attr >> 16 == stat.S_IFREG | 0o644
    assert {path.name for path in Path("data/raw").iterdir()} == {"tiny.zip", "tiny.json"}
    names = sum(2 * len(name.encode()) for name in files)
    headers = len(files) * (30 + 46) + 22  # local and central headers and the end record: room for nothing else
    assert Path("data/raw/tiny.zip").stat().st_size == sum(map(len, files.values())) + names + headers


def test_bytes_are_pinned(tmp_path):
    """The form must not drift between versions of Python or of this project: every download would look new."""
    members = [Member("b/ü.jpg", 2, "xy"), Member("a.txt", 0, "")]
    contents = write_archive(Files(members, lambda member: (char.encode() for char in member.place)), tmp_path / "canonical.zip")
    assert hashlib.sha256((tmp_path / "canonical.zip").read_bytes()).hexdigest() == PINNED
    lines = f"{hashlib.sha256(b'').hexdigest()} a.txt\n{hashlib.sha256(b'xy').hexdigest()} b/ü.jpg\n"
    assert contents == (2, 2, hashlib.sha256(lines.encode()).hexdigest())


def test_junk_and_folders_are_dropped(mirror):
    kept = {"a/x.jpg": b"1", "a/.hidden": b"2", "Thumbs.db.jpg": b"3"}
    junk = {"a/": b"", "__MACOSX/a/._x.jpg": b"j", "a/.DS_Store": b"j", "a/Thumbs.db": b"j", "Desktop.ini": b"j"}
    mirror.write_bytes(pack(junk | kept))
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == sorted(kept)


def test_names_as_unpacked(mirror):
    """Windows' separators, needless dots, and UTF-8 that is not declared as such."""
    mirror.write_bytes(pack({"w\\x.jpg": b"1", "w\\": b"", "./d//y.jpg": b"2", "./": b"", "##.jpg": b"3"}).replace(b"##", "ä".encode()))
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == ["d/y.jpg", "w/x.jpg", "ä.jpg"]


def test_unicode_is_not_normalised(mirror):
    names = ["e\u0301.jpg", "\u00e9.jpg", "\u8133/ \U0001f9e0 .jpg"]
    mirror.write_bytes(pack(dict.fromkeys(names, b"1")))
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == names


def test_name_of_the_dos_age(mirror):
    data = pack({"aa.jpg": b"1"}).replace(b"aa.jpg", b"\x84a.jpg")  # ä in code page 437, and not UTF-8
    mirror.write_bytes(data)
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == ["äa.jpg"]


ODD_PATHS = ["/etc/passwd", "\\\\host\\x", "C:\\x.jpg", "c:x.jpg", "../x.jpg", "a/../../x.jpg", "a\\..\\x.jpg", "a/..", "."]


@pytest.mark.parametrize("name", ODD_PATHS)
def test_paths_that_lead_out(mirror, name):
    mirror.write_bytes(pack({"a.jpg": b"1", name: b"2"}))
    assert "refused" in refusal() and repr(name) in refusal()


def test_name_that_is_not_text():
    with pytest.raises(ValueError, match="UTF-8"):
        canonical_path("a/\udcff.jpg")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644, stat.S_IFDIR | 0o755])
def test_special_members(mirror, mode):
    mirror.write_bytes(zip_of(special("a.jpg", stat.S_IFREG | 0o644), special("link.jpg", mode)))
    assert "'link.jpg' is a link or another special file" in refusal()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("twin", ["a/x.jpg", "a\\x.jpg", "./a/x.jpg"])
def test_duplicates(mirror, twin):
    mirror.write_bytes(zip_of(("a/x.jpg", b"1"), (twin, b"2")))
    assert "'a/x.jpg' occurs twice" in refusal()


def test_names_that_differ_in_case_are_two(mirror):
    mirror.write_bytes(pack({"a/X.jpg": b"1", "A/x.jpg": b"2", "a/x.jpg": b"3"}))
    main("tiny")
    assert zipfile.ZipFile("data/raw/tiny.zip").namelist() == ["A/x.jpg", "a/X.jpg", "a/x.jpg"]


def central(data: bytes, offset: int, form: str, *values) -> bytes:
    """data with a field of the first central header overwritten."""
    data = bytearray(data)
    struct.pack_into(form, data, data.find(b"PK\x01\x02") + offset, *values)
    return bytes(data)


def test_encrypted(mirror):
    mirror.write_bytes(central(pack({"a.jpg": b"1"}), 8, "<H", 1))
    assert "'a.jpg' is encrypted" in refusal()


@pytest.mark.parametrize("method", [9, 99])  # 9 is Deflate64, which Windows takes for archives above 2 GB
def test_unknown_compression(mirror, method):
    mirror.write_bytes(central(pack({"a.jpg": b"1"}), 10, "<H", method))
    assert f"'a.jpg' is compressed in a way that is not read (method {method})" in refusal()


def test_declared_bomb(mirror):
    mirror.write_bytes(pack({"a.bmp": bytes(20_000_000)}))
    assert f"unpacks to more than the {100 * mirror.stat().st_size} bytes that are plausible" in refusal()


def test_compressible_pictures_are_no_bomb(mirror):
    mirror.write_bytes(pack({"a.bmp": bytes(900_000)}))
    main("tiny")


def test_bomb_that_lies(mirror):
    """It declares 1000 bytes and holds 20 million: it gets no further than the 1000."""
    honest = pack({"a.bmp": bytes(20_000_000), "b.jpg": random.Random(0).randbytes(500_000)})
    mirror.write_bytes(central(honest, 24, "<L", 1000))
    tracemalloc.start()
    assert "damaged at 'a.bmp'" in refusal()
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_shorter_than_declared(mirror):
    mirror.write_bytes(central(pack({"a.bmp": b"0123456789"}), 24, "<L", 11))
    assert "'a.bmp'" in refusal()


def test_announced_size_is_enforced(tmp_path):
    for chunks in ([b"12"] * 3, [b"1"]):
        with pytest.raises(SystemExit, match="announced"):
            write_archive(Files([Member("a.jpg", 2, "")], lambda member, chunks=chunks: iter(chunks)), tmp_path / "x.zip.part")


@pytest.mark.parametrize("damage", [b"", b"no zip", "cut", "flip"])
def test_damaged(mirror, files, damage):
    data = pack(files)
    damaged = {"cut": data[: len(data) // 2], "flip": data[:1_000_000] + b"\xff\x00" * 50 + data[1_000_100:]}
    mirror.write_bytes(damaged.get(damage, damage))
    assert "damaged" in refusal() and "fetch it again" in refusal()


def test_nothing_in_it(mirror):
    mirror.write_bytes(pack({"__MACOSX/x": b"1", "a/": b""}))
    assert "holds no files" in refusal()


def test_too_little_disk(mirror, files, monkeypatch):
    mirror.write_bytes(pack(files))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 2_500_000))  # less than the files and their names
    assert "3 MB needed, 2 MB free" in refusal()


def test_disk_fills_up(mirror, files, monkeypatch):
    mirror.write_bytes(pack(files))
    register()
    resource = pytest.importorskip("resource")
    import signal

    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, old_limit[1]))  # a write beyond fails, as on a full disk
    try:
        assert "File too large" in refusal()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)


def test_memory_is_bounded(tmp_path):
    big = tmp_path / "big.zip"
    with zipfile.ZipFile(big, "w") as archive:
        for name in "ab":
            archive.writestr(name, random.Random(0).randbytes(30_000_000))
    tracemalloc.start()
    with open_zip(big) as files:
        contents = write_archive(files, tmp_path / "canonical.zip.part")
    assert tracemalloc.get_traced_memory()[1] < 8_000_000 and contents.bytes == 60_000_000
    tracemalloc.stop()


def test_memory_does_not_grow_with_the_members(tmp_path):
    def peak(members: int) -> int:
        many = tmp_path / f"{members}.zip"
        with zipfile.ZipFile(many, "w") as archive:
            for number in range(members):
                archive.writestr(f"{number}.jpg", b"%d" % number)
        tracemalloc.start()
        with open_zip(many) as files:
            assert write_archive(files, tmp_path / "canonical.zip.part").members == members
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(10_000) - peak(1000) < 20 * 9000  # bytes a member; what zipfile keeps of one is more than 500


def test_no_room_for_the_list_of_members(mirror):
    resource = pytest.importorskip("resource")
    import signal

    mirror.write_bytes(pack({f"{'long' * 50}/{number}.jpg": b"" for number in range(10_000)}))
    register()
    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old_limit[1]))
    try:
        assert "make room for it, or set SQLITE_TMPDIR" in refusal()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)


def test_editions(mirror, files):
    mirror.write_bytes(pack(files))
    main("tiny")
    lines = (f"{hashlib.sha256(files[path]).hexdigest()} {path}\n" for path in sorted(files))
    size, digest = sum(map(len, files.values())), hashlib.sha256("".join(lines).encode()).hexdigest()
    wrong = {"members": len(files) + 1}
    for right in ({}, {"bytes": size}, {"digest": digest}, {"bytes": size, "digest": digest}):
        register(editions=[wrong, {"members": len(files)} | right])
        main("tiny")
    for path in Path("data/raw").iterdir():
        path.unlink()
    for amiss in ({}, {"bytes": size}, {"members": len(files), "bytes": size + 1}, {"members": len(files), "digest": "0" * 64}):
        register(editions=[wrong | amiss])
        line = refusal()
        assert f"expected {(wrong | amiss)['members']} files" in line
        assert f"found {len(files)} files of {size} bytes (sha256 {digest})" in line
        assert "pin archive.version" in line and "archive.editions in data/sources.yaml" in line


def test_old_outputs_survive_a_failure(mirror, files):
    mirror.write_bytes(pack(files))
    main("tiny")
    before = {path: path.read_bytes() for path in Path("data/raw").iterdir()}
    mirror.write_bytes(b"no zip")
    with pytest.raises(SystemExit):
        main("tiny")
    assert {path: path.read_bytes() for path in Path("data/raw").iterdir()} == before
