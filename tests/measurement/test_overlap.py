"""Overlap of masks."""

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric

from medsmith.measurement.overlap import dice


def test_dice_equals_monai():
    rng = np.random.default_rng(0)
    answer, truth = rng.random((2, 20, 20)) < 0.3
    theirs = DiceMetric()(torch.from_numpy(answer)[None, None].float(), torch.from_numpy(truth)[None, None].float())
    assert dice(answer, truth) == pytest.approx(float(theirs), rel=1e-6)


def test_dice_of_nothing():
    nothing, something = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert (dice(nothing, nothing), dice(nothing, something), dice(something, something)) == (1, 0, 1)
