from typing import get_args

import pytest
import torch

from medsmith.cli.comparing import Network
from medsmith.errors import RequestError
from medsmith.evaluation.downstream.architectures import ARCHITECTURES, build_architecture, grid_multiple
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, train_segmenter


def test_the_command_offers_every_architecture():
    assert get_args(Network) == ARCHITECTURES


def toy(dimensions, edge, channels=1):
    """A bright square or cube in noise."""
    rng = torch.Generator().manual_seed(0)
    shape = (4, channels, *[edge] * dimensions)
    images = 0.1 * torch.randn(shape, generator=rng)
    labels = torch.zeros(4, *[edge] * dimensions, dtype=torch.int64)
    middle = tuple(slice(edge // 4, 3 * edge // 4) for _ in range(dimensions))
    labels[(slice(None), *middle)] = 1
    return images + labels[:, None], labels


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_architecture_gives_one_logit_per_class_on_its_smallest_grid(architecture, dimensions):
    edge = 2 * grid_multiple(architecture)
    network = build_architecture(architecture, dimensions, 2, 3, 4)
    images = torch.zeros(1, 2, *[edge] * dimensions)
    assert network.eval()(images).shape == (1, 3, *[edge] * dimensions)


def test_the_wide_one_is_wider_and_the_plain_one_has_no_residual_units():
    def weights(architecture):
        return sum(weight.numel() for weight in build_architecture(architecture, 2, 1, 2, 8).parameters())

    assert 3.5 < weights("wide_resunet") / weights("resunet") < 4
    assert weights("unet") < weights("resunet")
    names = [name for name, _ in build_architecture("unet", 2, 1, 2, 8).named_modules()]
    assert not any("residual" in name for name in names)


@pytest.mark.parametrize("architecture", ["unet", "dynunet"])
def test_architectures_learn_a_square(architecture):
    images, labels = toy(2, 16)
    config = SegmenterConfig(architecture=architecture, steps=60, batch=4, channels=4, learning_rate=1e-2)
    network = train_segmenter([(images, labels)], 2, config, 0, lambda *_: None)
    with torch.inference_mode():
        assert (network(images).argmax(dim=1) == labels).float().mean() > 0.95


def test_dropout_follows_the_seed():
    images, labels = toy(2, 32)
    config = SegmenterConfig(architecture="vnet", steps=2, batch=2)
    torch.manual_seed(1)
    one = train_segmenter([(images, labels)], 2, config, 0, lambda *_: None)
    torch.manual_seed(2)
    other = train_segmenter([(images, labels)], 2, config, 0, lambda *_: None)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_vnet_refuses_channels_that_do_not_divide_its_width():
    with pytest.raises(RequestError, match="vnet, and images of 3 channels; 1, 2, 4, 8 or 16; choose another"):
        build_architecture("vnet", 2, 3, 2, 16)
