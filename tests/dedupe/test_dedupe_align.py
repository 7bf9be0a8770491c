import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from synthetic import smooth

from stages.dedupe.align import aligned_correlation
from stages.pixels import squash


def aligned(one: Image.Image, other: Image.Image, orientation: str = "") -> float:
    thumbnails = np.stack([squash(one, 64), squash(other, 64)])
    return float(aligned_correlation(thumbnails, pd.DataFrame({"first": [0], "second": [1], "orientation": [orientation]}))[0])


def plain(one: Image.Image, other: Image.Image) -> float:
    return float(np.corrcoef(squash(one, 64).ravel(), squash(other, 64).ravel())[0, 1])


def head(seed: int) -> Image.Image:
    return smooth(seed, border=1).crop((1, 1, 119, 139)).resize((472, 552), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("seed", range(10))
def test_cuts_of_one_picture_align_and_other_pictures_do_not(seed):
    image = head(seed)
    left, top, right, bottom = np.random.default_rng(seed).integers(0, 15, 4)
    cut = image.crop((left, top, image.width - right, image.height - bottom))
    assert aligned(image, cut) > 0.98
    assert aligned(image, ImageOps.autocontrast(cut).point(lambda grey: 0.7 * grey + 20)) > 0.98, "brightness does not matter"
    assert aligned(ImageOps.mirror(image), cut, "mirrored") > 0.98

    slice_after = Image.blend(image, head(seed + 100), 0.25)
    assert plain(image, slice_after) <= aligned(image, slice_after) + 1e-6 < plain(image, slice_after) + 0.01
    assert aligned(image, head(seed + 50)) < 0.8


def test_pictures_of_one_grey_level_resemble_nothing():
    grey = Image.new("L", (100, 100), 90)
    assert aligned(grey, grey) == aligned(grey, head(0)) == aligned(head(0), grey) == 0
