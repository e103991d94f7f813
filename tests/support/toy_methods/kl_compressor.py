"""A method for the tests of the KL autoencoder: of images with a discriminator, and of their label maps."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from pydantic import BaseModel, ConfigDict

from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import TrainingConfig
from medsmith.networks.autoencoder import AutoencoderConfig
from medsmith.networks.autoencoder_losses import AutoencoderLossConfig
from medsmith.networks.discriminator import DiscriminatorConfig, Discriminators
from medsmith.networks.kl_autoencoder import KLAutoencoder
from medsmith.networks.kl_losses import (
    KLLossConfig,
    LabelLossConfig,
    kl_autoencoder_loss,
    kl_discriminator_loss,
    label_autoencoder_loss,
)


@final
class KLCompressorConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, ...] = (8, 8)
    shape: AutoencoderConfig = AutoencoderConfig(channels=(4, 4))
    discriminator: DiscriminatorConfig = DiscriminatorConfig(channels=4, layers=1)
    objective: KLLossConfig = KLLossConfig(image=AutoencoderLossConfig(discriminator_from=3))
    training: TrainingConfig = TrainingConfig(batch=2, precision="float32", warm_up=0, ema=0.9, learning_rate=1e-3)
    sampling: Sampling = Sampling(steps=1)


@final
class KLCompressorRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class KLCompressor(Method):
    presets: ClassVar[Mapping[str, BaseModel]] = {"tiny": KLCompressorConfig()}
    Config = KLCompressorConfig
    Request = KLCompressorRequest

    def __init__(self, config, fingerprint):
        super().__init__()
        self.config: KLCompressorConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        self.label_autoencoder = KLAutoencoder(config.shape, len(config.size), 2)
        self.autoencoder = KLAutoencoder(config.shape, len(config.size))
        self.discriminator = Discriminators(config.discriminator, len(config.size))

    def stages(self):
        return Stage("labels", parts=("label_autoencoder",)), Stage("images", parts=("autoencoder", "discriminator"))

    def prepare(self, case):
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def loss(self, part, batch, rng):
        image = batch["image"].float()
        match part:
            case "label_autoencoder":
                labels = (image[:, 0] > 0).long()
                return label_autoencoder_loss(self.label_autoencoder, labels, LabelLossConfig(), rng)
            case "autoencoder":
                return kl_autoencoder_loss(self.autoencoder, self.discriminator, image, self.config.objective, rng)
        return kl_discriminator_loss(self.autoencoder, self.discriminator, image, self.config.objective, rng)

    def synthesize(self, request, seed, sampling, *, observe=None):
        rng = torch.Generator().manual_seed(seed % 2**63)
        with torch.no_grad():
            image = self.autoencoder.decode(torch.randn((1, self.autoencoder.channels, 4, 4), generator=rng))[0]
        return assemble(image, -torch.ones_like(image), self.fingerprint)
