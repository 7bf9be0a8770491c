import pytest
import torch

from stages.views import views


def test_the_whole_picture_is_not_touched():
    images = torch.rand(2, 3, 8, 8)
    (only,) = views(images, flips=False, zoom=1.0)
    assert only is images


def test_the_middle_fills_the_picture_and_the_mirror_image_is_its_own():
    images = torch.zeros(1, 3, 100, 100)
    images[..., 45:55, 55:65] = 1  # ten pixels right of the middle
    seen, mirrored = views(images, flips=True, zoom=1.25)
    assert seen.shape == images.shape
    assert mirrored.flip(-1).equal(seen)
    where = (seen[0, 0] > 0.5).nonzero().float()
    assert where.mean(0).tolist() == pytest.approx([49.5, 49.5 + 10 * 1.25], abs=0.7)
    assert len(where) == pytest.approx((10 * 1.25) ** 2, rel=0.1)
