import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_oracles import (
    FAMILIES,
    VARIANCE_PRESERVING,
    denoiser_of,
    network,
)
from medsmith.diffusion import (
    SeededNoise,
    guided,
)


def bound(shift):
    """A network with a condition bound to it, here a number."""
    return lambda x, t: network(x + shift, t)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-3, 8), min_size=1, max_size=3), st.sampled_from(VARIANCE_PRESERVING))
def test_guidance_of_clean_estimates_is_that_of_the_papers_noise_estimates(weights, family):
    schedule = FAMILIES[family](100)
    x, t = SeededNoise((1, 2))(1, 5, 5).double(), torch.tensor([3, 80])
    conditions = [bound(0.1 * (index + 1)) for index in range(len(weights))]
    noise = network(x, t)
    for condition, weight in zip(conditions, weights, strict=True):
        noise = noise + weight * (condition(x, t) - network(x, t))
    expected = schedule.clean_estimate(x, t, noise, "noise")
    denoisers = [denoiser_of(schedule, condition, "noise") for condition in conditions]
    ours = guided(denoiser_of(schedule, network, "noise"), *zip(denoisers, weights, strict=True))(x, t)
    torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)


class Counting:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, x, t):
        self.calls += 1
        return self.function(x, t)


def test_guidance_of_weight_0_is_the_base_and_of_1_the_condition_and_neither_calls_for_nothing():
    x, t = SeededNoise((1,))(1, 5, 5), torch.tensor([3])
    base, one, other = Counting(network), Counting(bound(0.3)), Counting(bound(0.7))
    assert torch.equal(guided(base, (one, 0.0))(x, t), network(x, t))
    assert torch.equal(guided(base)(x, t), network(x, t))
    assert one.calls == 0
    assert torch.equal(guided(base, (one, 1.0), (other, 0.0))(x, t), bound(0.3)(x, t))
    assert (base.calls, one.calls, other.calls) == (2, 1, 0)
    guided(base, (one, 2.0), (other, 1.0))(x, t)
    assert (base.calls, one.calls, other.calls) == (3, 2, 1)
