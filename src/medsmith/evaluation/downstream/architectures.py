"""The segmentation networks of the utility experiment, all of MONAI: the five that 3D-LLDM compares in its table 2."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from monai.networks.nets import DynUNet, UNet, VNet
from torch import nn

from medsmith.errors import RequestError

Architecture = Literal["unet", "resunet", "wide_resunet", "dynunet", "vnet"]
LEVELS = 4
_RESIDUAL_UNITS = 2
_WIDER = 2
_VNET_WIDTH = 16


def _unet(dimensions: int, channels: int, classes: int, width: int, residual_units: int = 0) -> nn.Module:
    network: nn.Module = UNet(
        spatial_dims=dimensions,
        in_channels=channels,
        out_channels=classes,
        channels=[width * 2**level for level in range(LEVELS)],
        strides=[2] * (LEVELS - 1),
        num_res_units=residual_units,
    )
    return network


def _resunet(dimensions: int, channels: int, classes: int, width: int) -> nn.Module:
    return _unet(dimensions, channels, classes, width, _RESIDUAL_UNITS)


def _wide_resunet(dimensions: int, channels: int, classes: int, width: int) -> nn.Module:
    return _unet(dimensions, channels, classes, _WIDER * width, _RESIDUAL_UNITS)


def _dynunet(dimensions: int, channels: int, classes: int, width: int) -> nn.Module:
    network: nn.Module = DynUNet(
        spatial_dims=dimensions,
        in_channels=channels,
        out_channels=classes,
        kernel_size=[3] * LEVELS,
        strides=[1] + [2] * (LEVELS - 1),
        upsample_kernel_size=[2] * (LEVELS - 1),
        filters=[width * 2**level for level in range(LEVELS)],
    )
    return network


def _vnet(dimensions: int, channels: int, classes: int, _width: int) -> nn.Module:
    if _VNET_WIDTH % channels:
        raise RequestError("network", f"vnet, and images of {channels} channels", "1, 2, 4, 8 or 16", "choose another")
    network: nn.Module = VNet(
        spatial_dims=dimensions, in_channels=channels, out_channels=classes, dropout_dim=dimensions
    )
    return network


_BUILDERS: Mapping[Architecture, Callable[[int, int, int, int], nn.Module]] = MappingProxyType(
    {"unet": _unet, "resunet": _resunet, "wide_resunet": _wide_resunet, "dynunet": _dynunet, "vnet": _vnet}
)
ARCHITECTURES = tuple(_BUILDERS)


def build_architecture(
    architecture: Architecture, dimensions: int, channels: int, classes: int, width: int
) -> nn.Module:
    """An untrained network with one logit per class.

    Args:
        architecture: its name; a wide ResU-Net has twice the width, and the width of a V-Net is fixed, from 16.
        dimensions: 2 or 3.
        channels: of the images.
        classes: including background.
        width: channels of the first level, doubled at each further one.

    Raises:
        RequestError: a V-Net, and a number of channels that does not divide 16.
    """
    return _BUILDERS[architecture](dimensions, channels, classes, width)


def grid_multiple(architecture: Architecture) -> int:
    """The edge of its grid must be a multiple of this; a V-Net has one level more than the others."""
    return 1 << (LEVELS if architecture == "vnet" else LEVELS - 1)
