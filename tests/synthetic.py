"""Small projects and pictures that several tests share."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from scipy.ndimage import gaussian_filter

from stages.catalog import DEMONSTRATION, write_metrics

ROOT = Path(__file__).parents[1]


def set_params(**values) -> None:
    """Change ./params.yaml; set_params(split__folds=2) sets split.folds."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    for name, value in values.items():
        section, key = name.split("__")
        params[section][key] = value
    Path("params.yaml").write_text(yaml.safe_dump(params))


def copy_params() -> None:
    """params.yaml of the project, in a run that is no demonstration."""
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    call_demonstration(False)


def call_demonstration(demonstration: bool) -> None:
    """Write what merge writes where any of the sets is synthetic, or none."""
    write_metrics({"demonstration": demonstration}, DEMONSTRATION)


def lay_out_project(folder: Path, sources: dict) -> None:
    """params.yaml of the project with these sources, their registry, no annotations and no corrections."""
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "data/raw").mkdir(parents=True)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["data"]["sources"] = list(sources)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    archive = {"slug": "owner/set", "version": 1, "title": "Set"}
    registry = {
        name: {"licence": "CC0-1.0", "attribution": "Jemand", "archive": archive, "folders": folders} for name, folders in sources.items()
    }
    (folder / "data/sources.yaml").write_text(yaml.safe_dump(registry))
    (folder / "data/annotations.csv").write_text("sha256,patient,plane\n")
    (folder / "data/corrections.csv").write_text("sha256,label\n")


def write_archive(source: str, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(f"data/raw/{source}.zip", "w") as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])


def encode(image: Image.Image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def smooth(seed: int, width: int = 120, height: int = 140, border: int = 12) -> Image.Image:
    """A random smooth grey picture, unlike any of another seed, in a black border."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 6)
    grey = np.interp(noise, (noise.min(), noise.max()), (30, 220)).astype(np.uint8)
    for edge in (grey[:border], grey[-border:], grey[:, :border], grey[:, -border:]):
        edge[:] = 0
    return Image.fromarray(grey)
