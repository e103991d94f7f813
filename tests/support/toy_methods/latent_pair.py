"""A toy latent pair method: label and volume autoencoders, a diffusion model in each latent, a ControlNet.

Five stages, of which the label ones learn from label maps alone and the volume ones from images alone; latents are
encoded once, their scale is set when the diffusion stages begin, the ControlNet starts as a copy of the volume model's
encoder, and the volume follows its label map.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from pydantic import BaseModel, ConfigDict

from medsmith.cases.case import Kind
from medsmith.cases.case_ref import CaseRef, load_case
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import Sampling, derive_seed
from medsmith.methods.base import Method, Stage, assemble
from medsmith.methods.config import DiffusionConfig, Size, TrainingConfig
from medsmith.networks import NetworkConfig, UNet
from medsmith.networks.autoencoder import AutoencoderConfig
from medsmith.networks.autoencoder_losses import AutoencoderLossConfig
from medsmith.networks.controlnet import ControlNet
from medsmith.networks.discriminator import DiscriminatorConfig, Discriminators
from medsmith.networks.kl_autoencoder import KLAutoencoder
from medsmith.networks.kl_losses import (
    KLLossConfig,
    LabelLossConfig,
    kl_autoencoder_loss,
    kl_discriminator_loss,
    label_autoencoder_loss,
)
from medsmith.networks.labels import most_likely, one_hot

LABELS: frozenset[Kind] = frozenset(("labels",))
IMAGE: frozenset[Kind] = frozenset(("image",))
FAST = TrainingConfig(batch=2, precision="float32", warm_up=0, ema=0.5, learning_rate=1e-3, flips=(0,))


@final
class LatentPairConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = (8, 8)
    autoencoder: AutoencoderConfig = AutoencoderConfig(channels=(4, 4))
    discriminator: DiscriminatorConfig = DiscriminatorConfig(channels=4, layers=1)
    objective: KLLossConfig = KLLossConfig(image=AutoencoderLossConfig(discriminator_from=2))
    network: NetworkConfig = NetworkConfig(
        channels=(8, 8), attention=(False, True), groups=4, head_channels=4, space_to_depth=1
    )
    diffusion: DiffusionConfig = DiffusionConfig(length=20, clamp=None)
    control: float = 1.0
    training: TrainingConfig = FAST
    diffusion_training: TrainingConfig = FAST.model_copy(update={"batch": 3})
    sampling: Sampling = Sampling(steps=3)
    label_sampling: Sampling = Sampling(solver="ddim", steps=2)


@final
class LatentPairRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: CaseRef | None = None


@final
class LatentPair(Method):
    presets: ClassVar[Mapping[str, BaseModel]] = {"tiny": LatentPairConfig()}
    checks = ("labels_declared", "image_finite")
    Config = LatentPairConfig
    Request = LatentPairRequest

    def __init__(self, config, fingerprint):
        super().__init__()
        self.config: LatentPairConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        dimensions, images = fingerprint.dimensions, len(fingerprint.channel_names)
        self._classes, latent = len(fingerprint.label_names), config.autoencoder.latent
        self.process = config.diffusion.process()
        self.label_autoencoder = KLAutoencoder(config.autoencoder, dimensions, self._classes)
        self.volume_autoencoder = KLAutoencoder(config.autoencoder, dimensions, images)
        self.discriminator = Discriminators(config.discriminator, dimensions, images)
        self.label_unet = UNet(config.network, dimensions, latent, latent)
        self.volume_unet = UNet(config.network, dimensions, latent, latent)
        self.controlnet = ControlNet(config.network, dimensions, latent, latent)

    def stages(self):
        both, diffusion = ("label_autoencoder", "volume_autoencoder"), self.config.diffusion_training
        return (
            Stage("label_autoencoder", ("label_autoencoder",), inputs=LABELS),
            Stage("volume_autoencoder", ("volume_autoencoder", "discriminator"), inputs=IMAGE),
            Stage("label_ldm", ("label_unet",), both[:1], LABELS, diffusion, encoded=True),
            Stage("volume_ldm", ("volume_unet",), both[1:], IMAGE, diffusion, encoded=True),
            Stage("controlnet", ("controlnet",), (*both, "label_ldm", "volume_ldm"), training=diffusion, encoded=True),
        )

    def prepare(self, case):
        size, example = self.config.size, {}
        if case.image is not None:
            example["image"] = image_to_model(case, self.fingerprint, size)
        if case.labels is not None:
            masks = labels_to_model(case.labels, self.fingerprint, size) > 0
            values = torch.arange(1, self._classes, dtype=torch.uint8).reshape(-1, *[1] * len(size))
            example["labels"] = (masks * values).amax(0, keepdim=True)
        return example

    def begin(self, stage, examples):
        with torch.no_grad():
            match stage:
                case "label_ldm":
                    self.label_autoencoder.fit_scale(self._label_state(each["labels"]) for each in examples)
                case "volume_ldm":
                    self.volume_autoencoder.fit_scale(self._volume_state(each["image"]) for each in examples)
                case "controlnet":
                    self.controlnet.copy_encoder(self.volume_unet)
        return {}

    def encode(self, stage, example):
        with torch.no_grad():
            match stage:
                case "label_ldm":
                    return {"state": self._label_state(example["labels"])[0]}
                case "volume_ldm":
                    return {"state": self._volume_state(example["image"])[0]}
            condition = self._label_state(example["labels"])[0]
            return {"state": self._volume_state(example["image"])[0], "condition": condition}

    def loss(self, part, batch, rng):
        match part:
            case "label_autoencoder":
                return label_autoencoder_loss(self.label_autoencoder, batch["labels"][:, 0], LabelLossConfig(), rng)
            case "volume_autoencoder":
                networks = self.volume_autoencoder, self.discriminator
                return kl_autoencoder_loss(*networks, batch["image"], self.config.objective, rng)
            case "discriminator":
                networks = self.volume_autoencoder, self.discriminator
                return kl_discriminator_loss(*networks, batch["image"], self.config.objective, rng)
        noised = self.process.noised(batch["state"], rng)
        if part == "label_unet":
            return self.process.loss(self.label_unet(noised.x, noised.t), noised)
        if part == "volume_unet":
            return self.process.loss(self.volume_unet(noised.x, noised.t), noised)
        return self.process.loss(self._controlled(batch["condition"])(noised.x, noised.t), noised)

    def synthesize(self, request, seed, sampling, *, observe=None):
        with torch.no_grad():
            labels = self._requested_labels(request, seed) if request.labels else self._new_labels(seed)
            condition = self._label_state(labels)
            state = self.process.sample_one(
                self.process.denoiser(self._controlled(condition)),
                tuple(condition.shape[1:]),
                derive_seed(seed, "volume"),
                sampling,
                device=self.device,
                observe=observe,
            )
            image = self.volume_autoencoder.decode(state[None])[0].clamp(-1, 1)
        return assemble(image, one_hot(labels, self._classes)[0, 1:] * 2 - 1, self.fingerprint)

    def _requested_labels(self, request, seed):
        return self.prepare(load_case(request.labels, derive_seed(seed, "labels")))["labels"]

    def _new_labels(self, seed):
        grid = [edge // self.label_autoencoder.factor for edge in self.config.size]
        state = self.process.sample_one(
            self.process.denoiser(self.label_unet),
            (self.label_autoencoder.channels, *grid),
            derive_seed(seed, "labels"),
            self.config.label_sampling,
            device=self.device,
        )
        return most_likely(self.label_autoencoder.decode(state[None])).to(torch.uint8)

    def _controlled(self, condition):
        def predict(x, t):
            residuals = self.controlnet(
                x, t, condition.expand(len(x), *condition.shape[1:]), weight=self.config.control
            )
            return self.volume_unet(x, t, residuals=residuals)

        return predict

    def _label_state(self, labels):
        return self.label_autoencoder.encode(one_hot(labels.to(self.device), self._classes))

    def _volume_state(self, image):
        return self.volume_autoencoder.encode(image[None].to(self.device))
