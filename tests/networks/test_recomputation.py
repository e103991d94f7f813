"""Activations that are computed again in the backward pass."""

import copy
from functools import partial

import pytest
import torch

from medsmith.networks.autoencoder import AutoencoderConfig
from medsmith.networks.kl_autoencoder import KLAutoencoder
from medsmith.networks.recomputation import recomputed_activations
from medsmith.networks.unet import NetworkConfig, UNet


def unet():
    config = NetworkConfig(channels=(8, 16), attention=(False, True), head_channels=8, groups=4, space_to_depth=1)
    return UNet(config, 2, 1, 1)


def _noted(sizes, tensor):
    sizes.append(tensor.numel())
    return tensor


def _unchanged(tensor):
    return tensor


def gradients(network, x, t):
    network.zero_grad()
    (network(x, t) ** 2).mean().backward()
    return {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}


def test_gradients_are_the_same_and_less_is_kept():
    torch.manual_seed(0)
    network, x, t = unet(), torch.randn(2, 1, 16, 16), torch.tensor([3, 7])
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    kept: list[int] = []
    recomputed: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(partial(_noted, kept), _unchanged):
        expected = gradients(network, x, t)
    with recomputed_activations(network) as blocks:
        hooks = torch.autograd.graph.saved_tensors_hooks(partial(_noted, recomputed), _unchanged)
        network.zero_grad()
        with hooks:
            loss = (network(x, t) ** 2).mean()
        loss.backward()
    assert blocks == 5  # two levels down, two up, the middle
    assert sum(recomputed) < 0.5 * sum(kept)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name])


def test_blocks_are_as_before_afterwards_and_copies_are_their_own():
    network = unet()
    with recomputed_activations(network):
        copied = copy.deepcopy(network)
        block, twin = network.network.middle_block, copied.network.middle_block
        assert twin.forward.args[0].__self__ is twin
        assert block.forward.args[0].__self__ is block
    assert "forward" not in vars(network.network.middle_block)
    assert network.state_dict().keys() == copied.state_dict().keys()


def test_without_gradients_nothing_is_run_twice():
    network, x = unet(), torch.randn(1, 1, 16, 16)
    calls = []
    network.network.middle_block.resnet_1.register_forward_hook(lambda *_: calls.append(1))
    with recomputed_activations(network), torch.no_grad():
        network(x, torch.tensor([1]))
    assert len(calls) == 1


def test_blocks_are_restored_where_training_fails():
    network = unet()
    with pytest.raises(KeyboardInterrupt), recomputed_activations(network):
        raise KeyboardInterrupt
    assert "forward" not in vars(network.network.middle_block)


def test_autoencoders_have_blocks():
    space = KLAutoencoder(AutoencoderConfig(channels=(8, 16)), 3)
    with recomputed_activations(space) as blocks:
        assert blocks == 2 * (1 + 2)
