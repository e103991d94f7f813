"""A method for the tests of the VQGAN: autoencoder and discriminators trained in turn, as any method calls them."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from pydantic import BaseModel, ConfigDict

from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import TrainingConfig
from medsmith.networks.autoencoder_losses import AutoencoderLossConfig, vqgan_discriminator_loss, vqgan_loss
from medsmith.networks.discriminator import DiscriminatorConfig, Discriminators
from medsmith.networks.vqgan import VQGAN, VQGANConfig


@final
class CompressorConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, ...] = (8, 8, 8)
    vqgan: VQGANConfig = VQGANConfig(channels=4, codes=8)
    discriminators: DiscriminatorConfig = DiscriminatorConfig(channels=4, layers=1)
    objective: AutoencoderLossConfig = AutoencoderLossConfig(discriminator_from=3)
    training: TrainingConfig = TrainingConfig(batch=2, precision="float32", warm_up=0, ema=0.9, learning_rate=1e-3)
    sampling: Sampling = Sampling(steps=1)


@final
class CompressorRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class Compressor(Method):
    presets: ClassVar[Mapping[str, BaseModel]] = {"tiny": CompressorConfig()}
    Config = CompressorConfig
    Request = CompressorRequest

    config: CompressorConfig

    def __init__(self, config, fingerprint):
        super().__init__()
        self.config, self.fingerprint, self.memory = config, fingerprint, {}
        self.autoencoder, self.discriminator = VQGAN(config.vqgan), Discriminators(config.discriminators)

    def stages(self):
        return (Stage("autoencoder", parts=("autoencoder", "discriminator")),)

    def prepare(self, case):
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def loss(self, part, batch, rng):
        loss = vqgan_loss if part == "autoencoder" else vqgan_discriminator_loss
        return loss(self.autoencoder, self.discriminator, batch["image"], self.config.objective, rng)

    def synthesize(self, request, seed, sampling, *, observe=None):
        rng = torch.Generator().manual_seed(seed % 2**63)
        with torch.no_grad():
            state = torch.randn((1, self.config.vqgan.latent, 4, 4, 4), generator=rng)
            image = self.autoencoder.decode(state)[0]
        return assemble(image, -torch.ones_like(image), self.fingerprint)
