import numpy as np

from stages.gradients import BLOCK, gradients


def test_a_picture_has_the_same_features_whichever_others_come_with_it():
    thumbnails = np.random.default_rng(0).integers(0, 256, (2 * BLOCK + 3, 64, 64), dtype=np.uint8)
    together = gradients(thumbnails)
    assert together.shape == (len(thumbnails), 8 * 8 * 9)
    assert (together == np.concatenate([gradients(one[None]) for one in thumbnails])).all()
