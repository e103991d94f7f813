"""The context of a lesion shows organs and box, and does not give the lesion away."""

import numpy as np
from scipy.ndimage import binary_dilation

from medsmith.geometry import Geometry
from medsmith.insertion.box import Box
from medsmith.insertion.context import closing, context_of
from medsmith.insertion.frame import FrameConfig


def test_the_context_shows_the_organ_whole_and_does_not_show_the_lesion():
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[5:35, 5:35, 5:35] = 1
    labels[26:35, :, :] = 2
    lesion = np.zeros(labels.shape, bool)
    lesion[15:25, 16:24, 15:22] = True
    names = {"background": 0, "liver": 1, "stomach": 2, "lesion": 3, "bone": 4}
    box = Box((15, 16, 15), (25, 24, 22))
    frame = FrameConfig().about(box, Geometry(labels.shape, np.eye(4)))

    def context(volume, organ="liver"):
        return context_of(volume, names, frame, box, organ, "groups")

    healthy, sick = context(labels), context(np.where(lesion, 3, labels).astype(np.uint8))
    assert np.array_equal(healthy.target, sick.target)
    assert np.array_equal(healthy.others, sick.others)
    assert healthy.others[1].any()
    assert not healthy.others[0].any()
    assert context(labels, organ="pancreas").target.all()


def test_a_closing_is_a_dilation_and_an_erosion_by_a_ball():
    rng = np.random.default_rng(1)
    mask = binary_dilation(rng.random((18, 18, 18)) > 0.995, iterations=2)
    radius = 3
    ball = np.linalg.norm(np.indices((7, 7, 7)) - 3, axis=0) <= radius
    padded = np.pad(mask, 2 * radius, mode="edge")
    grown = binary_dilation(padded, ball)
    closed = ~binary_dilation(~grown, ball)
    inner = slice(2 * radius, -2 * radius)
    assert np.array_equal(closing(mask, radius)[4:-4, 4:-4, 4:-4], closed[inner, inner, inner][4:-4, 4:-4, 4:-4])
