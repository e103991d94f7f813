"""Networks on top of MONAI: U-Net, ControlNet, autoencoders and their losses, discriminators, number formats."""

from medsmith.networks.unet import NetworkConfig, UNet

__all__ = ["NetworkConfig", "UNet"]
