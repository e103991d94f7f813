"""A toy guided method: one unconditional model of images, steered by several images at sampling time.

It learns from images alone. Each guide of a request has a factor, a last time and, where it names a label map, a
region outside which it does not act; their terms all see the same state (mDDPM, Algorithm 1). The label maps of the
guides that annotate become the case's.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from pydantic import BaseModel, ConfigDict, Field

from medsmith.cases.case_ref import CaseRef, load_case
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Correction, Sampling, derive_seed
from medsmith.diffusion.low_pass import low_pass
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import DiffusionConfig, Size, TrainingConfig
from medsmith.networks import NetworkConfig, UNet


@final
class SteeredConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = (8, 8)
    network: NetworkConfig = NetworkConfig(channels=(8, 8), attention=(False, True), groups=4, head_channels=4)
    diffusion: DiffusionConfig = DiffusionConfig(length=20)
    training: TrainingConfig = TrainingConfig(batch=2, precision="float32", warm_up=0, ema=0.5, learning_rate=1e-3)
    sampling: Sampling = Sampling(solver="ddpm", steps=4)


@final
class SteeredGuide(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    image: CaseRef
    factor: int = Field(default=2, ge=1)
    last: int = 0
    region: CaseRef | None = None
    annotates: bool = False


@final
class SteeredRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    guides: tuple[SteeredGuide, ...] = ()


@final
class Steered(Method):
    presets: ClassVar[Mapping[str, BaseModel]] = {"tiny": SteeredConfig()}
    checks = ("image_finite",)
    Config = SteeredConfig
    Request = SteeredRequest

    def __init__(self, config, fingerprint):
        super().__init__()
        self.config, self.fingerprint, self.memory = config, fingerprint, {}
        self._channels = len(fingerprint.channel_names)
        self.process = config.diffusion.process()
        self.network = UNet(config.network, fingerprint.dimensions, self._channels, self._channels)

    def stages(self):
        return (Stage("image", ("network",), inputs=frozenset(("image",))),)

    def prepare(self, case):
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def loss(self, part, batch, rng):
        noised = self.process.noised(batch["image"], rng)
        return self.process.loss(self.network(noised.x, noised.t), noised)

    def synthesize(self, request, seed, sampling, *, observe=None):
        image = self.process.sample_one(
            self.process.denoiser(self.network),
            (self._channels, *self.config.size),
            seed,
            sampling,
            device=self.device,
            corrections=[self._steering(request, seed)] if request.guides else [],
            observe=observe,
        )
        return assemble(image, self._masks(request, seed), self.fingerprint)

    def _steering(self, request, seed):
        """One sum over the guides, all on the same state, each with noise of its own."""
        parts = [
            (
                image_to_model(self._case(guide.image, seed, number), self.fingerprint, self.config.size)[None],
                low_pass(guide.factor),
                guide.last,
                self._region(guide, seed, number),
            )
            for number, guide in enumerate(request.guides)
        ]

        def correct(x, t, noise_source):
            moved = x
            for reference, keep_low, last, region in parts:
                noise = noise_source()
                if int(t[0]) >= last - 1:
                    noised = self.process.schedule.add_noise(reference, noise, t).x
                    moved = moved + region * keep_low(noised - x)
            return moved

        return Correction(correct)

    def _region(self, guide, seed, number):
        if guide.region is None:
            return torch.ones(())
        labels = self._case(guide.region, seed, number).labels
        return (labels_to_model(labels, self.fingerprint, self.config.size) > 0).amax(0).float()

    def _masks(self, request, seed):
        """The label maps of the guides that annotate, united; the later one wins."""
        count = len(self.fingerprint.foreground_labels)
        masks = -torch.ones((count, *self.config.size))
        for number, guide in enumerate(request.guides):
            if guide.annotates:
                found = labels_to_model(
                    self._case(guide.image, seed, number).labels, self.fingerprint, self.config.size
                )
                masks = torch.where((found > 0).any(0), found, masks)
        return masks

    def _case(self, ref, seed, number):
        return load_case(ref, derive_seed(seed, "guide", number))
