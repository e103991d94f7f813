"""Networks: what MONAI does not offer as is."""

from medsmith.networks.unet import NetworkConfig, UNet

__all__ = ["NetworkConfig", "UNet"]
