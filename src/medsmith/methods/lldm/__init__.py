"""3D-LLDM: a label map from noise, then an image that follows it.

3D-LLDM: label-guided 3-D latent diffusion (arXiv 2603.23845). Two autoencoders, one diffusion model in each of their
latent spaces, and a ControlNet (Zhang et al. 2023) that makes the image follow the label map. A generated label latent
is decoded, made one-hot and encoded again before it conditions the image (equation 4).

Axes: b batch, k classes with the background, c image channels, d channels of a latent, ``*space`` = x y or x y z,
``*latent`` the grid of latents.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import BaseModel
from torch import Tensor

from medsmith.cases.case import Case, Kind
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.label_facts import LabelFacts
from medsmith.diffusion import Observe, Predict, Sampling
from medsmith.errors import RequestError, RunError
from medsmith.methods.attributes import Draw
from medsmith.methods.base import Method, Stage
from medsmith.methods.lldm.config import PRESETS, LldmConfig
from medsmith.methods.lldm.controls import CONTROL, Condition, control_networks, visible
from medsmith.methods.lldm.examples import class_weights, example_of, extent_range
from medsmith.methods.lldm.image_coding import discriminator_loss, image_autoencoder, image_loss
from medsmith.methods.lldm.label_bank import kept_map, kept_maps, number_kept
from medsmith.methods.lldm.map_copies import MapGallery
from medsmith.methods.lldm.proposals import advice, proposals
from medsmith.methods.lldm.request import LldmRequest
from medsmith.methods.lldm.synthesis import synthesize
from medsmith.networks import UNet
from medsmith.networks.autoencoder_losses import PlaneDistance
from medsmith.networks.controlnet import ControlNet, add_residuals
from medsmith.networks.discriminator import Discriminators
from medsmith.networks.kl_autoencoder import KLAutoencoder
from medsmith.networks.kl_losses import label_autoencoder_loss
from medsmith.networks.labels import one_hot
from medsmith.networks.latent import LatentSpace
from medsmith.networks.perceptual import VARIABLE, perceptual_distance
from medsmith.networks.tiling import encode_in_tiles

_LABELS: frozenset[Kind] = frozenset(("labels",))
_PERCEPTUAL = "perceptual"
_IMAGE: frozenset[Kind] = frozenset(("image",))


@final
class Lldm(Method):
    """Pairs of label map and image, or images for given maps, in 2-D and 3-D.

    A cohort of label maps alone trains the label networks, one of images alone the image networks.

    Args:
        config: settings.
        fingerprint: of the training cohort.

    Raises:
        RequestError: the cohort has images and labels, and no case has both, or a ControlNet sees an unknown label.
    """

    inputs: ClassVar[frozenset[Kind]] = frozenset()
    presets: ClassVar[Mapping[str, BaseModel]] = PRESETS
    checks: ClassVar[tuple[str, ...]] = (
        "labels_declared", "labels_legal", "image_finite", "image_range", "image_spread", "image_noise", "not_a_copy",
    )  # fmt: skip
    trial_settings: ClassVar[tuple[str, ...]] = ("image_loss.image.discriminator_from=0",)
    Config = LldmConfig
    Request = LldmRequest

    def __init__(self, config: LldmConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: LldmConfig = config
        self.fingerprint, self.memory = fingerprint, {}
        dimensions, channels = fingerprint.dimensions, len(fingerprint.channel_names)
        self.classes = 1 + len(fingerprint.foreground_labels)
        self.has_labels = self.classes > 1 and fingerprint.labeled != 0
        self.has_images = channels > 0 and fingerprint.images != 0
        if self.has_labels and self.has_images and not fingerprint.pairs:
            cure = "add some, or train a run on the images and another on the label maps"
            raise RequestError("lldm", "no case has an image and labels", "the ControlNet learns from such pairs", cure)
        self.process = config.diffusion.process()
        modulation = dimensions if config.extent_condition == "spacing" else 0
        if self.has_labels:
            latent = config.label_autoencoder.latent
            self.label_autoencoder = KLAutoencoder(config.label_autoencoder, dimensions, self.classes)
            self.label_network = UNet(config.label_network, dimensions, latent, latent, modulation=modulation)
        if self.has_images:
            self.image_autoencoder = image_autoencoder(config, dimensions, channels)
            self.discriminators = Discriminators(config.discriminator, dimensions, channels)
            latent = config.image_autoencoder.latent
            self.image_network = UNet(config.image_network, dimensions, latent, latent, modulation=modulation)
        if self.has_labels and self.has_images:
            self.controls = control_networks(config, fingerprint, modulation)

    @classmethod
    def proposals(cls, preset: str, facts: Fingerprint) -> Sequence[tuple[str, ...]]:
        """Grids near the median one and smaller, and where the preset is "tiny" wider and narrower networks."""
        return proposals(preset, facts)

    @classmethod
    def advice(cls, facts: Fingerprint) -> Sequence[str]:
        """Crops, where the labels fill a small part of the scans."""
        return advice(facts)

    def stages(self) -> tuple[Stage, ...]:
        """Autoencoders, diffusion models in their latents, and the ControlNet, as far as the cohort allows."""
        coding, diffusion = self.config.autoencoder_training, self.config.training
        labels = (
            Stage("label_autoencoder", ("label_autoencoder",), (), _LABELS, coding),
            Stage("label_diffusion", ("label_network",), ("label_autoencoder",), _LABELS, diffusion, encoded=True),
        )
        image = (
            Stage("image_autoencoder", ("image_autoencoder", "discriminators"), (), _IMAGE, coding),
            Stage("image_diffusion", ("image_network",), ("image_autoencoder",), _IMAGE, diffusion, encoded=True),
        )
        needs = ("label_autoencoder", "label_diffusion", "image_diffusion")
        found = (*labels * self.has_labels, *image * self.has_images)
        if not (self.has_labels and self.has_images):
            return found
        training = self.config.control_training
        controls = (
            Stage(CONTROL + each.name, (f"controls.{each.name}",), needs, training=training, encoded=True)
            for each in self.config.controls
        )
        return (*found, *controls)

    def prepare(self, case: Case) -> Example:
        """Image and label indices on the network's grid."""
        return example_of(case, self.fingerprint, self.config.size)

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:
        """Weights of classes and facts of label maps; the scale of latents; the ControlNet's copy of an encoder."""
        with torch.no_grad():
            match stage:
                case "label_autoencoder":
                    weights = class_weights(examples, self.classes, self.config.class_weight)
                    known = {"class_weights": weights, **self._extents(examples)}
                    facts = LabelFacts.of((each["labels"][0].numpy() for each in examples), self.classes)
                    return known | facts.tensors() | kept_maps(examples, self.config.kept_maps)
                case "image_autoencoder":
                    return {**self._extents(examples), _PERCEPTUAL: torch.tensor(self._perceptual() is not None)}
                case "label_diffusion":
                    self.label_autoencoder.fit_scale(self.label_state(each["labels"]) for each in examples)
                case "image_diffusion":
                    self.image_autoencoder.fit_scale(self._image_state(each["image"]) for each in examples)
                case _ if stage.startswith(CONTROL):
                    self.control(stage.removeprefix(CONTROL)).copy_encoder(self.image_network)
        return {}

    def encode(self, stage: str, example: Example) -> Example:
        """The latents of an example: of labels, of an image, or of both."""
        encoded = {"extent": example["extent"]}
        with torch.no_grad():
            if stage == "label_diffusion":
                encoded["label_state"] = self.label_state(example["labels"])[0].cpu()
            elif stage.startswith(CONTROL):
                (control,) = (each for each in self.config.controls if CONTROL + each.name == stage)
                seen = visible(example["labels"], control.labels, self.fingerprint)
                encoded["label_state"] = self.label_state(seen)[0].cpu()
            if stage != "label_diffusion":
                encoded["state"] = self._image_state(example["image"])[0].cpu()
        return encoded

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """Losses of the autoencoders; equation 3 for both diffusion models; equation 6 for the ControlNet."""
        match part:
            case "label_autoencoder":
                weights = self.memory.get("class_weights")  # none yet where steps are timed before the stage begins
                weights = None if weights is None else weights.to(self.device)
                labels, config = batch["labels"][:, 0], self.config.label_loss
                return label_autoencoder_loss(self.label_autoencoder, labels, config, rng, weights)
            case "image_autoencoder":
                networks, distance = (self.image_autoencoder, self.discriminators), self._perceptual()
                return image_loss(networks, batch["image"].float(), self.config.image_loss, rng, distance)
            case "discriminators":
                networks = self.image_autoencoder, self.discriminators
                return discriminator_loss(networks, batch["image"].float(), self.config.image_loss, rng)
            case "label_network":
                noised = self.process.noised(batch["label_state"], rng)
                return self.process.loss(self.labels_from(batch["extent"])(noised.x, noised.t), noised)
        noised = self.process.noised(batch["state"], rng)
        if part == "image_network":
            return self.process.loss(self.image_from(batch["extent"])(noised.x, noised.t), noised)
        clean, name = batch["label_state"], part.removeprefix("controls.")
        condition = clean + self.config.label_noise * torch.randn(clean.shape, generator=rng).to(clean)
        predict = self.controlled([Condition(name, condition, 1.0)], batch["extent"])
        return self.process.loss(predict(noised.x, noised.t), noised)

    def request_with_map(self, draw: Draw) -> LldmRequest:
        """The maps of a cohort in turn, or those that the method makes."""
        return LldmRequest(labels=draw.template("labels"))

    def synthesize(
        self, request: LldmRequest, seed: int, sampling: Sampling, *, observe: Observe | None = None
    ) -> Case:
        """Equations 7 and 8: a label map, then an image that follows it.

        Raises:
            RequestError: a given map or a guide does not fit the method.
        """
        return synthesize(self, request, seed, sampling, observe)

    def preview_request(self) -> LldmRequest:
        """One label map for each case, legal or not: early in training hardly any is."""
        return LldmRequest(draws=1)

    def labels_from(self, extent: Float[Tensor, "b axes"]) -> Predict:
        """The network of label latents for a field of view (``label_maps.extent_of``)."""
        return partial(_call, self.label_network, self._modulation(extent))

    def image_from(self, extent: Float[Tensor, "b axes"]) -> Predict:
        """The network of image latents for a field of view, without labels."""
        return partial(_call, self.image_network, self._modulation(extent))

    def control(self, name: str) -> ControlNet:
        """One ControlNet."""
        found = self.controls[name]
        assert isinstance(found, ControlNet)
        return found

    def conditions(self, labels: UInt8[Tensor, "1 *space"], weights: Mapping[str, float]) -> list[Condition]:
        """What each ControlNet sees of a label map, with its weight."""
        return [
            Condition(each.name, self.label_state(visible(labels, each.labels, self.fingerprint)), weights[each.name])
            for each in self.config.controls
        ]

    def controlled(self, conditions: Sequence[Condition], extent: Float[Tensor, "b axes"]) -> Predict:
        """The image network with the residuals of ControlNets added up."""
        return partial(self._controlled, conditions, self._modulation(extent))

    def label_state(self, labels: UInt8[Tensor, "1 *space"]) -> Float[Tensor, "1 d *latent"]:
        """The latent of one label map of indices."""
        return encode_in_tiles(self.label_autoencoder, one_hot(labels.to(self.device), self.classes))

    @property
    def image_space(self) -> LatentSpace:
        """The latents of images."""
        return self.image_autoencoder

    @cached_property
    def map_gallery(self) -> MapGallery | None:
        """The kept label maps of training, to find copies of them; None where the run keeps none."""
        classes, numbers = self.classes, range(number_kept(self.memory))
        maps = (kept_map(self.memory, number, self.config.size, classes)[0] for number in numbers)
        return MapGallery.of(maps) if numbers else None

    def _extents(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The range of fields of view, over what other stages have seen as well."""
        low, high = extent_range(examples)
        if "extents" in self.memory:
            before = self.memory["extents"]
            low, high = torch.minimum(low, before[0]), torch.maximum(high, before[1])
        return {"extents": torch.stack([low, high])}

    def _modulation(self, extent: Float[Tensor, "b axes"]) -> Float[Tensor, "b axes"] | None:
        return extent.to(self.device) if self.config.extent_condition == "spacing" else None

    def _controlled(
        self,
        conditions: Sequence[Condition],
        modulation: Tensor | None,
        x: Float[Tensor, "b d *latent"],
        t: Int[Tensor, "b"],
    ) -> Float[Tensor, "b d *latent"]:
        residuals = [
            self.control(each.name)(
                x, t, each.state.expand(len(x), *each.state.shape[1:]), modulation=modulation, weight=each.weight
            )
            for each in conditions
        ]
        predicted: Tensor = self.image_network(x, t, modulation=modulation, residuals=add_residuals(*residuals))
        return predicted

    def _image_state(self, image: Float[Tensor, "c *space"]) -> Float[Tensor, "1 d *latent"]:
        return encode_in_tiles(self.image_autoencoder, image[None].float().to(self.device))

    def _perceptual(self) -> PlaneDistance | None:
        """The perceptual distance where weights are at hand, the same in all parts of a training."""
        found = perceptual_distance(self.device) if self.config.image_loss.image.perceptual else None
        if _PERCEPTUAL in self.memory and bool(self.memory[_PERCEPTUAL]) != (found is not None):
            began, cure = ("with", f"set {VARIABLE} again") if found is None else ("without", f"unset {VARIABLE}")
            raise RunError("image_autoencoder", f"began {began} a perceptual loss", "one loss in a run", cure)
        return found


def _call(network: UNet, modulation: Tensor | None, x: Tensor, t: Tensor) -> Tensor:
    predicted: Tensor = network(x, t, modulation=modulation)
    return predicted
