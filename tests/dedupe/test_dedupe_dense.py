"""Thin slices: none is a copy of the next, and each one's own copies are found."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps
from synthetic import ROOT, encode, lay_out_project, set_params, write_archive

from stages.catalog import CLUSTERS, read_table
from stages.dedupe.__main__ import main
from stages.download.__main__ import main as download
from stages.download.phantom_anatomy import load_template
from stages.merge.__main__ import main as merge

COPIES = {
    "resized": lambda image: image.resize((image.width * 3 // 5, image.height * 3 // 5), Image.Resampling.BICUBIC),
    "squashed": lambda image: image.resize((image.width * 9 // 10, image.height * 7 // 10), Image.Resampling.BICUBIC),
    "cut": lambda image: image.crop((image.width // 12, image.height // 20, image.width * 9 // 10, image.height * 14 // 15)),
    "mirrored": ImageOps.mirror,
    "left": lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


def test_neighbouring_slices_of_the_template_are_no_copies_and_their_copies_are_found(small_project):
    brain, rng = load_template().brain, np.random.default_rng(0)  # 1 mm from voxel to voxel
    members = {}
    for axis, slices in ((0, range(50, 90)), (1, range(60, 110)), (2, range(50, 110))):  # one half only: left and right are alike
        for number in slices:
            grey = 200 * np.rot90(np.take(brain, number, axis)) / brain.max()
            image = Image.fromarray((grey + rng.normal(0, 3, grey.shape)).clip(0, 255).astype(np.uint8))
            name = f"glioma/{axis}-{number:03}"
            members[f"{name}.jpg"] = encode(image, "JPEG", quality=90)
            if number % 3 == 0:
                way = list(COPIES)[number // 3 % len(COPIES)]
                members[f"{name}-{way}.jpg"] = encode(COPIES[way](image), "JPEG", quality=70)
    write_archive("set", members)
    merge()
    main()
    table = read_table(CLUSTERS)
    parts = table.image_id.str.extract(r"/(?P<slice>\d-\d+)(?:-(?P<way>\w+))?\.jpg$")
    originals = table.cluster[parts.way.isna()]
    assert len(originals) == 150 and originals.is_unique
    own = originals.set_axis(parts.slice[parts.way.isna()])
    copies = parts[parts.way.notna()]
    missed = [row.way for row in copies.itertuples() if table.cluster[row.Index] != own[row.slice]]
    assert len(copies) == 50 and not missed


MIRROR = Path(os.environ.get("BRAIN_MRI_MIRROR", "")) / "fernando2rad/brain-tumor-mri-images-44c"


@pytest.mark.skipif(
    not os.environ.get("BRAIN_MRI_MIRROR") or not MIRROR.is_dir(), reason="BRAIN_MRI_MIRROR has no fernando2rad/brain-tumor-mri-images-44c"
)
def test_slices_of_the_44_classes_are_not_thrown_away(tmp_path, monkeypatch):
    folders = yaml.safe_load((ROOT / "data/sources.yaml").read_text())["fernando44c"]["folders"]
    lay_out_project(tmp_path, {"fernando44c": folders})
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "data/sources.yaml", "data/sources.yaml")
    set_params(data__sources=["fernando44c"])
    download("fernando44c")
    merge()
    main()
    table = read_table(CLUSTERS)
    table["label"] = table.image_id.str.split("/").str[-2]
    assert (table.cluster.nunique() / len(table)) > 0.9, "some pictures of a series are alike, none is a copy of the next"
    assert table.groupby("cluster").size().max() < 5
