"""A method for the tests of training: two parts trained in turn on each batch, one with dropout."""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Sampling
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import TrainingConfig


@final
class AdversariesConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, ...] = (8, 8)
    training: TrainingConfig = TrainingConfig(batch=4, precision="float32", warm_up=0, ema=0.9, learning_rate=1e-2)
    sampling: Sampling = Sampling(steps=1)


@final
class AdversariesRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class Adversaries(Method):
    presets: ClassVar[Mapping[str, BaseModel]] = {"tiny": AdversariesConfig()}
    Config = AdversariesConfig
    Request = AdversariesRequest

    def __init__(self, config, fingerprint):
        super().__init__()
        self.config, self.fingerprint, self.memory = config, fingerprint, {}
        self.generator = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(4, 1, 3, padding=1))
        self.discriminator = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 1))

    def stages(self):
        return (Stage("gan", parts=("generator", "discriminator")),)

    def prepare(self, case):
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def loss(self, part, batch, rng):
        made = self.generator(torch.randn(batch["image"].shape, generator=rng))
        if part == "generator":
            return (1 - self.discriminator(made)).square().mean()
        return (1 - self.discriminator(batch["image"])).square().mean() + self.discriminator(made).square().mean()

    def synthesize(self, request, seed, sampling, *, observe=None):
        with torch.no_grad():
            image = self.generator(torch.randn((1, 1, 8, 8), generator=torch.Generator().manual_seed(seed % 2**63)))[0]
        return assemble(image, torch.from_numpy(-np.ones((1, 8, 8), np.float32)), self.fingerprint)
