from typing import Any

import pytest
import torch
from monai.networks.nets import ControlNet as MonaiControlNet
from monai.networks.nets import DiffusionModelUNet

from medsmith.networks import NetworkConfig, UNet
from medsmith.networks.controlnet import ControlNet, add_residuals

SHAPE: dict[str, Any] = {"channels": (8, 16), "attention": (False, True), "head_channels": 8, "groups": 4}
SPACES = [(7, 10), (5, 9, 4)]


def moved(network, seed=0, size=0.1):
    """A network whose zero-initialised layers have been moved, so that it answers something."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(size * torch.randn(weights.shape, generator=rng))
    return network.eval()


def networks(dimensions, **settings):
    """A U-Net that answers something, and a fresh ControlNet for it."""
    torch.manual_seed(0)
    config = NetworkConfig(**{**SHAPE, **settings})
    unet, control = moved(UNet(config, dimensions, 2, 2)), ControlNet(config, dimensions, 2, 3).eval()
    control.copy_encoder(unet)
    return unet, control


def inputs(space, seed=1):
    rng = torch.Generator().manual_seed(seed)
    x, condition = (torch.randn((2, channels, *space), generator=rng) for channels in (2, 3))
    return x, torch.tensor([3, 700]), condition


@pytest.mark.parametrize("space_to_depth", [1, 2])
@pytest.mark.parametrize("space", SPACES)
def test_a_fresh_controlnet_changes_nothing_bit_by_bit(space, space_to_depth):
    unet, control = networks(len(space), space_to_depth=space_to_depth)
    x, t, condition = inputs(space)
    residuals = control(x, t, condition)
    assert not any(part.any() for part in (*residuals.skips, residuals.middle))
    assert torch.equal(unet(x, t, residuals=residuals), unet(x, t))


@pytest.mark.parametrize("space", [(8, 12), (8, 4, 12)])
def test_it_is_monais_controlnet(space):
    unet, control = networks(len(space), space_to_depth=1)
    moved(control, seed=2)
    x, t, condition = inputs(space)
    settings = {
        "spatial_dims": len(space),
        "in_channels": 2,
        "channels": (8, 16),
        "attention_levels": (False, True),
        "num_res_blocks": 1,
        "num_head_channels": 8,
        "norm_num_groups": 4,
    }
    plain = DiffusionModelUNet(out_channels=2, **settings).eval()
    theirs = MonaiControlNet(
        conditioning_embedding_in_channels=3, conditioning_embedding_num_channels=(8,), **settings
    ).eval()
    plain.load_state_dict(unet.network.state_dict())
    theirs.load_state_dict(control.network.state_dict())
    skips, middle = theirs(x, t, condition, conditioning_scale=0.7)
    expected = plain(x, t, down_block_additional_residuals=skips, mid_block_additional_residual=middle)
    found = unet(x, t, residuals=control(x, t, condition, weight=0.7))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert (found - unet(x, t)).abs().max() > 1e-2


@pytest.mark.parametrize("space_to_depth", [1, 2])
@pytest.mark.parametrize("space", SPACES)
def test_odd_sizes_are_padded_by_repeating_the_border(space, space_to_depth):
    unet, control = networks(len(space), space_to_depth=space_to_depth)
    moved(control, seed=2)
    x, t, condition = inputs(space)
    larger = []
    for tensor in (x, condition):
        for axis, n in enumerate(space, 2):
            edge = tensor.narrow(axis, n - 1, 1)
            tensor = torch.cat([tensor, *[edge] * (-n % unet.config.multiple)], dim=axis)
        larger.append(tensor)
    whole = unet(larger[0], t, residuals=control(larger[0], t, larger[1]))
    found = unet(x, t, residuals=control(x, t, condition))
    torch.testing.assert_close(found, whole[(..., *(slice(0, n) for n in space))], atol=1e-5, rtol=1e-5)


def test_the_encoder_is_the_unets():
    unet, control = networks(2)
    theirs = unet.network.state_dict()
    own = control.network.state_dict()
    shared = [name for name in own if name in theirs]
    assert {name.split(".")[0] for name in shared} == {"conv_in", "time_embed", "down_blocks", "middle_block"}
    assert all(torch.equal(own[name], theirs[name]) for name in shared)
    with torch.no_grad():
        next(control.parameters()).add_(1)
    assert torch.equal(next(unet.parameters()), theirs[next(iter(theirs))])


@pytest.mark.parametrize("wrong", [{"channels": (8, 8)}, {"residual_blocks": 2}, {"space_to_depth": 1}])
def test_an_encoder_of_another_shape_is_refused(wrong):
    _, control = networks(2)
    with pytest.raises(ValueError, match="cannot start from a U-Net"):
        control.copy_encoder(UNet(NetworkConfig(**{**SHAPE, **wrong}), 2, 2, 2))
    with pytest.raises(ValueError, match="cannot start from a U-Net"):
        control.copy_encoder(UNet(control.config, 2, 5, 2))


def test_gradients_reach_the_controlnet_alone_when_the_unet_is_frozen():
    unet, control = networks(2)
    unet.requires_grad_(False)
    moved(control, seed=2).train()
    x, t, condition = inputs((9, 9))
    unet(x, t, residuals=control(x, t, condition)).square().mean().backward()
    assert all(weights.grad is None for weights in unet.parameters())
    # A shift that is the same for all keys leaves attention as it is: its key bias has no gradient by mathematics.
    silent = [
        name
        for name, weights in control.named_parameters()
        if weights.grad is None or not weights.grad.isfinite().all() or weights.grad.abs().max() < 1e-9
    ]
    assert all(name.endswith("attn.to_k.bias") for name in silent), silent


def test_a_fresh_controlnet_can_learn():
    """Its zero convolutions get a gradient, though everything before them gets none in the first step."""
    unet, control = networks(2)
    unet.requires_grad_(False)
    x, t, condition = inputs((8, 8))
    optimizer = torch.optim.SGD(control.parameters(), 0.1)
    for _ in range(3):
        before = unet(x, t, residuals=control(x, t, condition)).square().mean()
        optimizer.zero_grad()
        before.backward()
        optimizer.step()
    assert unet(x, t, residuals=control(x, t, condition)).square().mean() < before
    stem = control.network.controlnet_cond_embedding
    assert stem.conv_out.conv.weight.any()


def test_context_and_modulation_reach_the_residuals():
    config = NetworkConfig(**SHAPE)
    torch.manual_seed(0)
    unet = moved(UNet(config, 2, 2, 2, context=6, modulation=5))
    control = ControlNet(config, 2, 2, 3, context=6, modulation=5)
    control.copy_encoder(unet)
    moved(control, seed=2)
    x, t, condition = inputs((8, 8))
    context, modulation = torch.randn(2, 4, 6), torch.randn(2, 5)
    plain = control(x, t, condition, context, modulation)
    for other in (control(x, t, condition, -context, modulation), control(x, t, condition, context, -modulation)):
        assert not torch.allclose(other.middle, plain.middle, atol=1e-4)
    assert unet(x, t, context, modulation, plain).shape == x.shape


def test_the_weight_scales_and_the_sum_adds():
    unet, control = networks(2)
    moved(control, seed=2)
    x, t, condition = inputs((8, 8))
    once, other = control(x, t, condition), control(x, t, -condition, weight=0.5)
    half, none = control(x, t, condition, weight=0.5), control(x, t, condition, weight=0.0)
    both = add_residuals(once, other, half)
    for one, another, part, total, nothing in zip(
        *([*each.skips, each.middle] for each in (once, other, half, both, none)), strict=True
    ):
        torch.testing.assert_close(part, one / 2)
        torch.testing.assert_close(total, one + another + part)
        assert not nothing.any()
    assert add_residuals(once).skips == once.skips
    assert torch.equal(unet(x, t, residuals=none), unet(x, t))


def test_residuals_are_float32_under_autocast():
    unet, control = networks(3)
    moved(control, seed=2)
    x, t, condition = inputs((4, 4, 4))
    exact = unet(x, t, residuals=control(x, t, condition))
    with torch.autocast("cpu", torch.bfloat16):
        residuals = control(x, t, condition)
        cast = unet(x, t, residuals=residuals)
    assert {part.dtype for part in (*residuals.skips, residuals.middle, cast)} == {torch.float32}
    assert (cast - exact).norm() < 0.05 * exact.norm()
