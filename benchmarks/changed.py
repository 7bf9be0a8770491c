"""How many copies dedupe finds, by what was done to them: images of the pipeline's own run, each with one changed copy.

python -m benchmarks.changed, after `dvc repro dedupe` on real sets; writes the table of docs/data.md. Beside the copies it counts what must
not be: clusters that hold two of the images.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from tqdm import tqdm

from harness.layout import lay_out, set_params
from harness.markers import replace_part
from stages.catalog import CLUSTERS, read_table

SCRATCH = Path(".scratch/changed")
SOURCE = {
    "archive": {"slug": "changed/images", "version": 1, "title": "Images with a changed copy each"},
    "licence": "as its images",
    "attribution": "of its images",
    "folders": {"labels": {"all": ["all"]}},
}
RNG = np.random.default_rng(0)
Change = Callable[[Image.Image], Image.Image]


def cut(left: float, top: float, right: float, bottom: float) -> Change:
    """At most so much from each side, as shares."""

    def change(image: Image.Image) -> Image.Image:
        shares = RNG.uniform(0, 1, 4) * (left, top, right, bottom)
        return image.crop(_box(image, shares))

    return change


def cut_one_side(share: float) -> Change:
    return lambda image: image.crop(_box(image, np.eye(4)[RNG.integers(4)] * share))


def _box(image: Image.Image, shares: np.ndarray) -> tuple[int, int, int, int]:
    left, top, right, bottom = shares * (image.size * 2)
    return round(left), round(top), round(image.width - right), round(image.height - bottom)


def cut_to_head(image: Image.Image) -> Image.Image:
    """As preprocessing scripts do it: to the box of what is brighter than 30, squashed to 224 pixels."""
    bright = np.asarray(image) > 30
    rows, columns = np.flatnonzero(bright.mean(1) > 0.02), np.flatnonzero(bright.mean(0) > 0.02)
    return image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).resize((224, 224), Image.Resampling.BILINEAR)


def turned(image: Image.Image) -> Image.Image:
    return image.transpose(RNG.choice(list(Image.Transpose)))


def framed(grey: int, share: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        border = (RNG.uniform(0.01, share, 4) * (image.size * 2)).astype(int)
        return ImageOps.expand(image, tuple(border.tolist()), grey)

    return change


def with_gamma(image: Image.Image) -> Image.Image:
    return Image.fromarray((255 * (np.asarray(image) / 255) ** RNG.uniform(0.6, 1.6)).astype(np.uint8))


def noisy(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image) + RNG.normal(0, 8, image.size[::-1])).clip(0, 255).astype(np.uint8))


def captioned(image: Image.Image) -> Image.Image:
    pen = ImageDraw.Draw(image)
    for x, y in RNG.uniform(0, 0.9, (4, 2)) * image.size:
        pen.text((x, y), "R 34 mm", 255)
    return image


def resized(*size: int) -> Change:
    return lambda image: image.resize(size, Image.Resampling.BILINEAR)


def both(first: Change, second: Change) -> Change:
    return lambda image: second(first(image))


WAYS: dict[str, Change] = {
    "encoded again": lambda image: image,
    "turned or mirrored, seven ways": turned,
    "squashed to 7 tenths of its height": lambda image: image.resize((image.width, image.height * 7 // 10), Image.Resampling.BILINEAR),
    "100 x 100 pixels": resized(100, 100),
    "64 x 64 pixels": resized(64, 64),
    "black border, up to 25 % a side": framed(0, 0.25),
    "white frame, up to 15 % a side": framed(255, 0.15),
    "cut to the head, 224 x 224 pixels": cut_to_head,
    "up to 10 % cut from each side": cut(*[0.1] * 4),
    "up to 20 % cut from each side": cut(*[0.2] * 4),
    "up to 30 % cut from each side": cut(*[0.3] * 4),
    "20 % cut from one side": cut_one_side(0.2),
    "30 % cut from one side": cut_one_side(0.3),
    "up to 10 % cut from each side, turned": both(cut(*[0.1] * 4), turned),
    "up to 20 % cut from each side, turned": both(cut(*[0.2] * 4), turned),
    "up to 10 % cut from each side, gamma .6 to 1.6": both(cut(*[0.1] * 4), with_gamma),
    "gamma .6 to 1.6": with_gamma,
    "histogram equalised": ImageOps.equalize,
    "negative": ImageOps.invert,
    "negative, up to 10 % cut from each side": both(cut(*[0.1] * 4), ImageOps.invert),
    "captions in white": captioned,
    "noise of 8 grey levels": noisy,
    "blurred by 1.5 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.changed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50, help="for each way (50)")
    count = parser.parse_args().images * len(WAYS)

    clusters = read_table(CLUSTERS)
    chosen = clusters.image_id[clusters.kept].sample(count, random_state=0)
    folder = SCRATCH.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(folder, needed=(".dvc/", "data/", "params.yaml", "stages/"))
    (folder / "data/sources.yaml").write_text(yaml.safe_dump({"images": SOURCE}), encoding="utf-8")
    set_params(folder / "params.yaml", {"data.sources": ["images"]}, "benchmarks.changed")
    mirror = folder / "mirror/changed/images.zip"
    mirror.parent.mkdir(parents=True)
    write_zip(chosen.tolist(), mirror)
    environment = {**os.environ, "BRAIN_MRI_MIRROR": str(folder / "mirror")}
    for stage in (["download", "images"], ["merge"], ["dedupe"]):
        subprocess.run([sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]], cwd=folder, env=environment, check=True)
    text = table(folder)
    replace_part(Path("docs/data.md"), "changed", text)
    print(text)
    shutil.rmtree(folder)


def write_zip(image_ids: list[str], target: Path) -> None:
    """all/<number>-0.<extension> is an image as it is, all/<number>-<way>.jpg its copy, of JPEG quality 60 to 95; ways by number, from 1."""
    ways = list(WAYS.values())
    sources = {name: zipfile.ZipFile(f"data/raw/{name}.zip") for name in {image_id.split("/")[0] for image_id in image_ids}}
    with zipfile.ZipFile(target, "w") as archive:
        for number, image_id in enumerate(tqdm(image_ids, unit="image", desc="change", disable=None)):
            source, _, member = image_id.partition("/")
            data = sources[source].read(member)
            archive.writestr(f"all/{number:05}-0{Path(member).suffix}", data)
            way = number % len(ways)
            copy = io.BytesIO()
            ways[way](Image.open(io.BytesIO(data)).convert("L")).save(copy, "JPEG", quality=int(RNG.integers(60, 96)))
            archive.writestr(f"all/{number:05}-{way + 1}.jpg", copy.getvalue())


def table(folder: Path) -> str:
    """Markdown: for each way the share of the copies that lie in the cluster of their image."""
    found = read_table(folder / CLUSTERS)[["image_id", "cluster"]]
    found[["number", "way"]] = found.image_id.str.extract(r"/(\d+)-(\d+)\.\w+$").astype(int)
    own = found[found.way == 0].set_index("number").cluster
    copies = found[found.way > 0]
    right = copies.cluster == copies.number.map(own)
    shares = right.groupby(copies.way).mean()
    rows = [f"| {name} | {shares[number]:.0%} |" for number, name in enumerate(WAYS, 1)]
    several = int((found.groupby("cluster").number.nunique() > 1).sum())
    return "\n".join(
        [
            f"`python -m benchmarks.changed`: {len(own):,} images, each with one copy, {len(copies) // len(WAYS)} of each way; {several} clusters hold two images.",
            "",
            "| changed | found |",
            "| --- | ---: |",
            *rows,
        ]
    )


if __name__ == "__main__":
    main()
