from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets import DiffusionModelUNet
from pydantic import ValidationError

from medsmith.networks import NetworkConfig, UNet
from medsmith.networks._folding import Folding

SMALL: dict[str, Any] = {"channels": (8, 16), "attention": (False, True), "head_channels": 8, "groups": 4}


def unet(dimensions=2, in_channels=2, out_channels=1, **settings):
    """A small U-Net whose zero-initialised layers have been moved, so that it answers something."""
    torch.manual_seed(0)
    network = UNet(NetworkConfig(**{**SMALL, **settings}), dimensions, in_channels, out_channels)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    return network.eval()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2]), st.lists(st.integers(1, 19), min_size=2, max_size=3), st.integers(1, 2))
def test_any_size_comes_back_as_it_went_in(space_to_depth, space, batch):
    network = unet(len(space), space_to_depth=space_to_depth)
    answer = network(torch.randn(batch, 2, *space), torch.zeros(batch, dtype=torch.int64))
    assert answer.shape == (batch, 1, *space)
    assert answer.isfinite().all()


@pytest.mark.parametrize("space", [(31, 17), (1, 1), (3, 64), (7, 5, 3), (1, 1, 2), (13, 1, 8)])
@pytest.mark.parametrize("space_to_depth", [2, 3, 4])
def test_primes_and_sizes_below_the_multiple(space_to_depth, space):
    network = unet(len(space), space_to_depth=space_to_depth)
    assert network.config.multiple == 2 * space_to_depth
    with torch.inference_mode():
        assert network(torch.randn(1, 2, *space), torch.tensor([5])).shape == (1, 1, *space)


@pytest.mark.parametrize("space", [(11, 6), (5, 9, 4)])
def test_a_fitting_size_is_neither_padded_nor_cropped_and_others_repeat_the_border(space):
    network = unet(len(space))
    x, t = torch.randn(1, 2, *space), torch.tensor([5])
    padded = x
    for axis, n in enumerate(space, 2):
        edge = padded.narrow(axis, n - 1, 1)
        padded = torch.cat([padded, *[edge] * (-n % network.config.multiple)], dim=axis)
    whole = network(padded, t)
    part = whole[(..., *(slice(0, n) for n in space))]
    torch.testing.assert_close(network(x, t), part)


@pytest.mark.parametrize("space", [(16, 24), (8, 4, 12)])
def test_without_folding_it_is_monais_network(space):
    network = unet(len(space), space_to_depth=1)
    theirs = DiffusionModelUNet(
        spatial_dims=len(space),
        in_channels=2,
        out_channels=1,
        channels=(8, 16),
        attention_levels=(False, True),
        num_res_blocks=1,
        num_head_channels=8,
        norm_num_groups=4,
    ).eval()
    theirs.load_state_dict(network.network.state_dict())
    x, t = torch.randn(2, 2, *space), torch.tensor([3, 700])
    assert torch.equal(network(x, t), theirs(x, timesteps=t))


@pytest.mark.parametrize(("space", "block"), [((8, 12), 2), ((9, 6), 3), ((4, 8, 12), 2), ((8, 4, 4), 4)])
def test_unfolding_undoes_folding_and_folding_gathers_blocks(space, block):
    folding = Folding(len(space), block, block)
    x = torch.randn(2, 3, *space)
    folded = folding.fold(x)
    assert folded.shape == (2, 3 * folding.voxels, *(n // block for n in space))
    assert torch.equal(folding.unfold(folded, space), x)
    corner = (slice(None), slice(None), *(slice(0, block) for _ in space))
    assert torch.equal(folded.flatten(2)[..., 0], x[corner].reshape(2, -1))


def test_the_answer_is_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert unet()(torch.randn(1, 2, 8, 8), torch.tensor([5])).dtype == torch.float32


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("space_to_depth", [1, 2])
def test_gradients_reach_every_parameter(dimensions, space_to_depth):
    network = unet(dimensions, space_to_depth=space_to_depth).train()
    answer = network(torch.randn(2, 2, *(9,) * dimensions), torch.tensor([1, 50]))
    answer.square().mean().backward()
    # A shift that is the same for all keys leaves attention as it is: its key bias has no gradient by mathematics.
    silent = [
        name
        for name, weights in network.named_parameters()
        if weights.grad is None or not weights.grad.isfinite().all() or weights.grad.abs().max() < 1e-9
    ]
    assert all(name.endswith("attn.to_k.bias") for name in silent), silent


def test_a_fresh_network_answers_zero():
    torch.manual_seed(0)
    network = UNet(NetworkConfig(**SMALL), 2, 1, 1)
    assert torch.equal(network(torch.randn(1, 1, 8, 8), torch.tensor([3])), torch.zeros(1, 1, 8, 8))


def test_the_answer_depends_on_time_and_not_on_the_rest_of_the_batch():
    network = unet()
    x, t = torch.randn(3, 2, 8, 8), torch.tensor([0, 10, 900])
    together = network(x, t)
    torch.testing.assert_close(network(x[1:2], t[1:2]), together[1:2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(network(x, t.flip(0)), together, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": (8, 16, 16)}, "3 levels in channels, 2 in attention"),
        ({"attention": (True,)}, "2 levels in channels, 1 in attention"),
        ({"channels": (6, 16)}, "channels: 6 is not a multiple of groups = 4"),
        ({"channels": (12, 16), "attention": (True, True)}, "channels: 12 is not a multiple of head_channels = 8"),
        ({"channels": (8, 12), "attention": (False, False)}, "channels: 12 is not a multiple of head_channels = 8"),
        ({"channels": (), "attention": ()}, "at least 1 item"),
        ({"channels": (0, 16)}, "greater than or equal to 1"),
        ({"space_to_depth": 0}, "greater than or equal to 1"),
        ({"depth": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        NetworkConfig(**{**SMALL, **changes})


@given(
    st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=3),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4, 8]),
)
@settings(max_examples=15, deadline=None)
def test_every_accepted_shape_can_be_built_and_used(levels, groups, head_channels):
    channels, attention = tuple(4 * width for width, _ in levels), tuple(attends for _, attends in levels)
    try:
        config = NetworkConfig(channels=channels, attention=attention, groups=groups, head_channels=head_channels)
    except ValidationError:
        assert any(width % head_channels for width in channels)
        return
    assert UNet(config, 2, 1, 1)(torch.zeros(1, 1, 19, 9), torch.tensor([0])).shape == (1, 1, 19, 9)
