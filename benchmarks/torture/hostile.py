"""Generated files that are no proper pictures, or odd ones, and archives that are none: through the stages download and merge."""

import io
import math
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import Flaky
from PIL import Image

from benchmarks.torture.project import Project
from benchmarks.torture.stage import run_stage
from harness.layout import set_params
from stages.catalog import CATALOG, read_table

PICTURES_AN_ARCHIVE = 250

Generator = np.random.Generator
Kind = Callable[[Generator], tuple[bytes, tuple[int, int] | None]]  # a file, and its size if it is a proper picture

SEEDS = st.integers(0, 2**32 - 1)

set_hypothesis_home_dir(".scratch/hypothesis")


class Crashed(Exception):
    """A stage ended as none may."""


def pictures(project: Project, tries: int, rng: Generator) -> list[str]:
    """Every picture is in the catalog, with its size if it is a proper one, or in rejected.csv with its reason; a proper one is never rejected.

    The stages see an archive of many at a time. Where it makes one of them crash, hypothesis looks for the pictures that do, and makes
    all others of the first kind.
    """
    wrong, size = [], min(PICTURES_AN_ARCHIVE, tries)

    @_generated(math.ceil(tries / size), rng)
    @given(st.lists(st.sampled_from(list(KINDS)), min_size=size, max_size=size), SEEDS)
    def hold(kinds, start):
        assume(size == 1 or len(set(kinds)) > 1)  # the first that it tries would be all of the first kind
        made = {
            f"Training/glioma_tumor/{number:04}-{kind}.jpg": KINDS[kind](np.random.default_rng([start, number]))
            for number, kind in enumerate(kinds)
        }
        with _project(project, zipped({name: data for name, (data, _) in made.items()})) as folder:
            if fault := _fault(folder, "download", "sartaj") or _fault(folder, "merge"):
                odd = [f"{kind} {[start, number]}" for number, kind in enumerate(kinds) if kind != next(iter(KINDS))]
                raise Crashed(f"{fault}; it takes {', '.join(odd) or f'seed {start}'}")
            found = _found(folder)
        wrong.extend(_judge(name, size, found.get(name, "lost")) for name, (_, size) in made.items())

    try:
        hold()
    except (Crashed, Flaky) as error:
        wrong.append(str(error))
    return wrong


def archives(project: Project, tries: int, rng: Generator) -> list[str]:
    """An archive is taken whole or refused with one line, and then nothing of it is there."""
    wrong = []

    @_generated(tries, rng)
    @given(st.sampled_from(list(ARCHIVES)), SEEDS)
    def hold(kind, start):
        wrong.append(archive(project, kind, start))

    hold()
    return wrong


def archive(project: Project, kind: str, start: int) -> str:
    """What is wrong with how one archive was taken; empty if nothing is."""
    with _project(project, ARCHIVES[kind](np.random.default_rng(start))) as folder:
        fault, refusal = run_stage(folder, "download", "sartaj", BRAIN_MRI_MIRROR=str(folder / "mirror"))
        if "\n" in refusal:
            fault = f"it refused with more than a line: {refusal[-200:]}"
        left = [path.name for path in (folder / "data/raw").glob("*")]
        outside = [str(path) for path in folder.parent.glob("escaped*")]
        if not fault and (outside or len(left) not in (0, 2)):
            fault = f"it left {', '.join(outside or left)}"
    return f"{kind} {start}: {fault}" if fault else ""


def _generated(examples: int, rng: Generator) -> Callable:
    """How hypothesis runs a function: so often, whatever time it takes, and with nothing from an earlier run."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    return lambda function: seed(int(rng.integers(2**31)))(chosen(function))


@contextmanager
def _project(project: Project, archive: bytes) -> Iterator[Path]:
    """A folder in which the stages take this archive for Sartaj's."""
    with project.new() as folder:
        registry = folder / "data/sources.yaml"
        sources = yaml.safe_load(registry.read_text())
        del sources["sartaj"]["archive"]["editions"]  # what the published one has in it
        registry.write_text(yaml.safe_dump(sources))
        set_params(folder / "params.yaml", {"data.sources": ["sartaj"], "merge.max_rejected": 10**9}, "benchmarks.torture")
        path = folder / "mirror/sartajbhuvaji/brain-tumor-classification-mri.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(archive)
        yield folder


def _fault(folder: Path, stage: str, *arguments: str) -> str:
    fault, refusal = run_stage(folder, stage, *arguments, BRAIN_MRI_MIRROR=str(folder / "mirror"))
    return fault or (f"{stage} refused: {refusal[-200:]}" if refusal else "")


def _judge(name: str, size: tuple[int, int] | None, found: tuple[int, int] | str) -> str:
    if found == "lost" or size and found != size:
        return f"{name} of {size} is {found}"
    return ""


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _found(folder: Path) -> dict[str, tuple[int, int] | str]:
    """Member -> its size in the catalog, or the reason of its rejection."""
    catalog, rejected = read_table(folder / CATALOG), read_table(folder / CATALOG.with_name("rejected.csv"))
    sizes = {row.member: (row.width, row.height) for row in catalog.itertuples()}
    return sizes | {row.image_id.removeprefix("sartaj/"): row.reason for row in rejected.itertuples()}


def _image(rng: Generator) -> Image.Image:
    small = rng.integers(0, 256, (rng.integers(3, 9), rng.integers(3, 9))).astype(np.uint8)
    return Image.fromarray(small).resize(tuple(rng.integers(20, 200, 2).tolist()), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _of_mode(mode: str, *forms: str) -> Kind:
    def make(rng: Generator) -> tuple[bytes, tuple[int, int]]:
        image = _image(rng).convert(mode)
        return _encoded(image, str(rng.choice(forms))), image.size

    return make


def _sixteen_bit(rng: Generator) -> tuple[bytes, tuple[int, int]]:
    image = Image.fromarray(np.asarray(_image(rng)).astype(np.uint16) * 257)
    return _encoded(image, str(rng.choice(["PNG", "TIFF"]))), image.size


def _animated(rng: Generator) -> bytes:
    image = _image(rng)
    return _encoded(image, "GIF", save_all=True, append_images=[image.rotate(90), image.rotate(180)])


def _turned(rng: Generator) -> tuple[bytes, tuple[int, int]]:
    image, exif = _image(rng), Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))  # orientation
    return _encoded(image, "JPEG", exif=exif), image.size


def _of_size(*sizes: tuple[int, int]) -> Kind:
    def make(rng: Generator) -> tuple[bytes, tuple[int, int]]:
        size = sizes[rng.integers(len(sizes))]
        return _encoded(Image.new("L", size, int(rng.integers(256))), str(rng.choice(["PNG", "BMP", "TIFF"]))), size

    return make


def _any_file(rng: Generator) -> bytes:
    return _encoded(_image(rng), str(rng.choice(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])))


def _cut(data: bytes, rng: Generator) -> bytes:
    return data[: rng.integers(len(data))]


def _bits_flipped(data: bytes, rng: Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 20)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def _png_bomb(rng: Generator) -> bytes:
    """A small file whose header declares up to 65,000 x 65,000 pixels."""
    data = bytearray(_encoded(_image(rng), "PNG"))
    data[16:24] = struct.pack(">II", *rng.integers(20_000, 65_000, 2).tolist())
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _either(make: Callable[[Generator], bytes]) -> Kind:
    return lambda rng: (make(rng), None)


KINDS: dict[str, Kind] = {
    "grey": _of_mode("L", "JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"),
    "colour": _of_mode("RGB", "JPEG", "PNG", "BMP", "TIFF", "WEBP"),
    "CMYK": _of_mode("CMYK", "JPEG", "TIFF"),
    "palette": _of_mode("P", "PNG", "GIF", "BMP"),
    "alpha": _of_mode("RGBA", "PNG", "TIFF", "WEBP"),
    "bilevel": _of_mode("1", "PNG", "TIFF", "BMP"),
    "16 bit": _sixteen_bit,
    "turned": _turned,
    "extreme": _of_size((1, 1), (20_000, 1), (1, 20_000), (3, 2)),
    "cut": _either(lambda rng: _cut(_any_file(rng), rng)),
    "flipped": _either(lambda rng: _bits_flipped(_any_file(rng), rng)),
    "bomb": _either(_png_bomb),
    "animated": _either(_animated),
    "zeros": _either(lambda rng: bytes(rng.integers(1, 5000))),
    "empty": _either(lambda rng: b""),
    "noise": _either(lambda rng: rng.bytes(rng.integers(1, 5000))),
    "text": _either(lambda rng: b"<html><body>404 Not Found</body></html>\n" * rng.integers(1, 50)),
    "zip": _either(lambda rng: zipped({"inner.jpg": _any_file(rng)})),
}


def _members(rng: Generator) -> dict[str, bytes]:
    return {f"Training/glioma_tumor/{number}.jpg": _any_file(rng) for number in range(rng.integers(1, 12))}


def _named(*names: str) -> Callable[[Generator], bytes]:
    """Proper members, and one of these names."""
    return lambda rng: zipped(_members(rng) | {names[rng.integers(len(names))]: b"x"})


def _special(rng: Generator) -> bytes:
    """With a symbolic link, a device, a pipe or a socket among the members."""
    info = zipfile.ZipInfo("Training/glioma_tumor/link.jpg")
    info.create_system = 3
    info.external_attr = (int(rng.choice([stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])) | 0o777) << 16
    file = io.BytesIO(zipped(_members(rng)))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


def _twice(rng: Generator) -> bytes:
    members = _members(rng)
    file = io.BytesIO(zipped(members))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as archive:
        warnings.simplefilter("ignore")  # of duplicate names
        archive.writestr(str(rng.choice(list(members))), b"other bytes")
    return file.getvalue()


ARCHIVES: dict[str, Callable[[Generator], bytes]] = {
    "proper": lambda rng: zipped(_members(rng)),
    "cut": lambda rng: _cut(zipped(_members(rng)), rng),
    "flipped": lambda rng: _bits_flipped(zipped(_members(rng), zipfile.ZIP_DEFLATED), rng),
    "bomb": lambda rng: zipped(_members(rng) | {"Training/glioma_tumor/bomb.jpg": bytes(2**27)}, zipfile.ZIP_DEFLATED),
    "nested": lambda rng: zipped({"Training/glioma_tumor/inner.zip": zipped(_members(rng))}),
    "absolute": _named("/escaped.jpg", "C:\\escaped.jpg", "\\\\host\\escaped.jpg"),
    "leads out": _named("../escaped.jpg", "Training/../../../escaped.jpg", "..\\escaped.jpg"),
    "odd names": _named(
        "Training/glioma_tumor/ä\u202e\x07.jpg", "Training/glioma_tumor/\u00ad.jpg", "Training/glioma_tumor/" + "x" * 240 + ".jpg"
    ),
    "special": _special,
    "twice": _twice,
    "nothing": lambda rng: zipped({}),
    "noise": lambda rng: rng.bytes(rng.integers(0, 5000)),
}
