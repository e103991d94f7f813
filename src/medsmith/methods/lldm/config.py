"""Settings of 3D-LLDM."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import nn

from medsmith.data.deformation import DeformationConfig
from medsmith.diffusion import Sampling
from medsmith.methods.config import DiffusionConfig, Size, TrainingConfig, check_settings
from medsmith.networks import NetworkConfig
from medsmith.networks.autoencoder import AutoencoderConfig
from medsmith.networks.autoencoder_losses import AutoencoderLossConfig
from medsmith.networks.discriminator import DiscriminatorConfig
from medsmith.networks.kl_losses import KLLossConfig, LabelLossConfig
from medsmith.networks.vqgan import VQGANConfig

MapSource = Literal["generated", "deformed"]


@final
class ControlConfig(BaseModel):
    """One ControlNet.

    Attributes:
        name: in stages and requests.
        labels: that it sees; none are all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="labels", pattern="^[a-z][a-z0-9_]*$", max_length=64)
    labels: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if hasattr(nn.ModuleDict, name) or name in nn.Module().__dict__:
            raise ValueError(f"{name} is reserved; choose another name")
        return name


@final
class LldmConfig(BaseModel):
    """Settings of 3D-LLDM.

    Attributes:
        size: grid of label maps and images, voxels along each axis; a multiple of the autoencoders' factor.
        label_autoencoder: shape of the label autoencoder.
        label_loss: weights of its loss.
        class_weight: power of the inverse frequency of a class in the weights of the label loss: 0 weights all classes
            equally, 1 by the inverse of their voxels; between them thin vessels survive and the background stays.
        image_autoencoder: shape of the image autoencoder: with ``codes`` a VQGAN, else a KL autoencoder.
        image_loss: weights of its loss; ``kl`` is not used by a VQGAN.
        discriminator: shape of the patch discriminator.
        label_network: shape of the diffusion model of label latents.
        image_network: shape of the diffusion model of image latents, and of the ControlNet's encoder.
        diffusion: noise and prediction of both.
        extent_condition: "spacing" tells the diffusion models and the ControlNet the field of view of each case, and so
            the size of a voxel; "none" does not.
        controls: the ControlNets; several act together, each with a weight of its own in a request, such as one for the
            organ and one for tumors.
        label_noise: standard deviation of the noise on label latents when the ControlNet is trained.
        maps: where label maps come from in a request that does not say so: "generated" from noise, or "deformed" from
            those of the training cohort, for runs whose label model draws few legal maps.
        kept_maps: largest number of label maps of the training cohort that a run keeps, 16 MiB at most, to give
            deformed ones; 0 keeps none, for runs that are passed on to others.
        deformation: of these maps.
        autoencoder_training: of both autoencoders.
        training: of the diffusion models.
        control_training: of the ControlNet.
        sampling: solver and steps of the image.
        label_sampling: solver and steps of the label map.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: Size = (32, 48, 32)
    label_autoencoder: AutoencoderConfig = AutoencoderConfig(channels=(8, 16))
    label_loss: LabelLossConfig = LabelLossConfig()
    class_weight: float = Field(default=0.5, ge=0, le=1)
    image_autoencoder: AutoencoderConfig | VQGANConfig = AutoencoderConfig(channels=(12, 32))
    image_loss: KLLossConfig = KLLossConfig(image=AutoencoderLossConfig(adversarial=0.1, discriminator_from=400))
    discriminator: DiscriminatorConfig = DiscriminatorConfig(channels=16, layers=2)
    label_network: NetworkConfig = NetworkConfig(channels=(48, 96), attention=(False, True))
    image_network: NetworkConfig = NetworkConfig(channels=(48, 96), attention=(False, True))
    diffusion: DiffusionConfig = DiffusionConfig(schedule="rectified_flow", clamp=None, min_snr=None)
    extent_condition: Literal["none", "spacing"] = "none"
    controls: Annotated[tuple[ControlConfig, ...], Field(min_length=1)] = (ControlConfig(),)
    label_noise: float = Field(default=0.1, ge=0, le=1)
    maps: MapSource = "generated"
    kept_maps: int = Field(default=10_000, ge=0, le=10**7)
    deformation: DeformationConfig = DeformationConfig()
    autoencoder_training: TrainingConfig = TrainingConfig(steps=700, batch=2, learning_rate=1e-3, flips=())
    training: TrainingConfig = TrainingConfig(steps=800, batch=8, learning_rate=1e-3, flips=())
    control_training: TrainingConfig = TrainingConfig(steps=600, batch=8, learning_rate=1e-3, flips=())
    sampling: Sampling = Sampling(solver="euler", steps=20)
    label_sampling: Sampling = Sampling(solver="euler", steps=20)

    @model_validator(mode="after")
    def _fits_together(self) -> "LldmConfig":
        for training in (self.autoencoder_training, self.training, self.control_training):
            for sampling in (self.sampling, self.label_sampling):
                check_settings(self.size, self.diffusion, training, sampling)
        names = [control.name for control in self.controls]
        if len(set(names)) < len(names):
            raise ValueError(f"controls: the names {', '.join(names)} are not different")
        if self.maps == "deformed" and not self.kept_maps:
            raise ValueError("maps = deformed, but kept_maps = 0: deformed maps need some")
        image = self.image_autoencoder
        factors = self.label_autoencoder.factor, (image.shape if isinstance(image, VQGANConfig) else image).factor
        if factors[0] != factors[1]:
            raise ValueError(f"the autoencoders reduce the grid by {factors[0]} and {factors[1]}: they must agree")
        if any(edge % factors[0] for edge in self.size):
            raise ValueError(f"size = {list(self.size)}: every axis must be a multiple of {factors[0]}")
        return self


_PAPER_NETWORK = NetworkConfig(
    channels=(256, 256, 512),
    attention=(False, True, True),
    residual_blocks=2,
    head_channels=64,
    groups=32,
    space_to_depth=1,
)
_PAPER_TRAINING = TrainingConfig(
    steps=200_000, batch=2, learning_rate=1e-5, warm_up=0, ema=0.0, flips=(), precision="float32"
)
# What the paper leaves open is taken from MONAI's 3-D latent diffusion, which it names (docs/methods/lldm.md).
_PAPER = LldmConfig(
    size=(160, 160, 64),
    label_autoencoder=AutoencoderConfig(channels=(32, 64, 128), residual_blocks=2, latent=4),
    class_weight=0.0,
    image_autoencoder=AutoencoderConfig(channels=(64, 128, 256), residual_blocks=2, latent=8),
    image_loss=KLLossConfig(
        kl=1e-7, image=AutoencoderLossConfig(adversarial=0.01, perceptual=0.001, discriminator_from=10_000)
    ),
    discriminator=DiscriminatorConfig(channels=64, layers=3),
    label_network=_PAPER_NETWORK,
    image_network=_PAPER_NETWORK,
    diffusion=DiffusionConfig(schedule="scaled_linear", prediction="noise", clamp=None, min_snr=None),
    label_noise=0.0,
    autoencoder_training=_PAPER_TRAINING,
    training=_PAPER_TRAINING,
    control_training=_PAPER_TRAINING,
    sampling=Sampling(solver="ddim", steps=200),
    label_sampling=Sampling(solver="ddim", steps=200),
)
_BEST_NETWORK = NetworkConfig(
    channels=(96, 160, 256), attention=(False, False, True), residual_blocks=2, space_to_depth=1
)
_BEST_TRAINING = TrainingConfig(steps=60_000, batch=8, ema=0.999, flips=())
_BEST = LldmConfig(
    size=(128, 128, 64),
    label_autoencoder=AutoencoderConfig(channels=(32, 64, 96), latent=4),
    image_autoencoder=AutoencoderConfig(channels=(48, 96, 128), latent=4),
    image_loss=KLLossConfig(image=AutoencoderLossConfig(adversarial=0.1, discriminator_from=5000)),
    discriminator=DiscriminatorConfig(channels=32, layers=3),
    label_network=_BEST_NETWORK,
    image_network=_BEST_NETWORK,
    extent_condition="spacing",
    autoencoder_training=_BEST_TRAINING.model_copy(update={"batch": 2, "steps": 40_000}),
    training=_BEST_TRAINING,
    control_training=_BEST_TRAINING,
    sampling=Sampling(solver="euler", steps=30),
    label_sampling=Sampling(solver="euler", steps=30),
)
PRESETS: Mapping[str, BaseModel] = MappingProxyType({"paper": _PAPER, "best": _BEST, "tiny": LldmConfig()})
