"""The learning rate: linear warm-up, then constant or a half cosine."""

import math

import pytest

from medsmith.methods.config import TrainingConfig
from medsmith.training.stage_optimizer import LAST_SHARE, learning_rate

COSINE = TrainingConfig(steps=1000, learning_rate=2e-3, warm_up=0, decay="cosine")


def test_without_decay_the_rate_is_constant_after_the_warm_up() -> None:
    training = TrainingConfig(steps=10, learning_rate=1e-3, warm_up=3)
    rates = [learning_rate(training, step) for step in range(6)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_cosine_falls_as_its_formula(share: float) -> None:
    expected = 2e-3 * (LAST_SHARE + (1 - LAST_SHARE) * math.cos(math.pi * share / 2) ** 2)
    assert learning_rate(COSINE, int(1000 * share)) == pytest.approx(expected)


def test_after_the_last_step_the_rate_stays() -> None:
    assert learning_rate(COSINE, 5000) == pytest.approx(2e-3 * LAST_SHARE)


def test_the_warm_up_multiplies_the_decay() -> None:
    warm = COSINE.model_copy(update={"warm_up": 99})
    assert learning_rate(warm, 49) == pytest.approx(learning_rate(COSINE, 49) / 2)
