import inspect
import itertools

import diffusers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.networks.schedulers import DDIMScheduler

from medsmith.diffusion import (
    times,
)


@pytest.mark.parametrize("length", [1000, 1024])
@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_times_are_those_of_diffusers(length, spacing):
    theirs = diffusers.DDIMScheduler(length, timestep_spacing=spacing)
    usual = (2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50, 64, 100, 128, 200, 250, 256, 500, 512, length)
    for steps in range(2, length + 1):
        theirs.set_timesteps(steps)
        ours, expected = np.array(times(length, steps, spacing)), theirs.timesteps.numpy()
        # Theirs adds up rounded strides: now and then it gains a step, or rounds an exact half to the other side.
        if steps in usual or len(expected) == steps:
            assert np.abs(ours - expected).max() <= (0 if steps in usual else 1), steps


@pytest.mark.parametrize("length", [50, 1000])
def test_linspace_times_are_those_of_monai(length):
    theirs = DDIMScheduler(length)
    for steps in range(1, 50):
        theirs.set_timesteps(steps)
        ours, expected = np.array(times(length, steps, "linspace")), theirs.timesteps.numpy()
        # Single precision rounds an exact half now and then to the other side.
        half = any(2 * i * (length - 1) % (2 * steps - 2) == steps - 1 for i in range(1, steps))
        assert np.abs(ours - expected).max() <= int(half), steps


@given(st.integers(1, 3000), st.data(), st.sampled_from(["trailing", "leading", "linspace"]))
def test_times_are_distinct_descending_and_within(length, data, spacing):
    steps = data.draw(st.integers(1, length))
    timesteps = times(length, steps, spacing)
    assert len(timesteps) == steps
    assert all(a > b for a, b in itertools.pairwise(timesteps))
    assert length > timesteps[0]
    assert timesteps[-1] >= 0
    if spacing != "leading":
        assert timesteps[0] == length - 1
    if spacing != "trailing" and steps > 1:
        assert timesteps[-1] == 0
    if steps == length:
        assert timesteps == list(range(length))[::-1]


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_a_number_of_steps_out_of_range_is_refused(steps):
    with pytest.raises(ValueError, match=f"{steps} steps: a schedule of 10 times allows 1 to 10"):
        times(10, steps)


def test_an_unknown_spacing_is_refused():
    with pytest.raises(ValueError, match="unknown spacing 'karras': choose one of trailing, leading, linspace"):
        inspect.unwrap(times)(10, 5, "karras")
