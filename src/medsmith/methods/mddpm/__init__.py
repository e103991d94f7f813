"""mDDPM: one unconditional model of images, steered by several guidance images while it samples.

Krishna et al. 2025, Guided synthesis of annotated lung CT images with pathologies using a multi-conditioned denoising
diffusion probabilistic model. Nothing but images is needed to train it. A label map of a case becomes its annotation
because the image follows it.

Axes: b batch, c image channels, e = c or 2 c with a learned variance, ``*space`` = x y or x y z; all in [-1, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel
from torch import Tensor

from medsmith.cases.case import Case, Kind
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Observe, Sampling, match_low_frequencies
from medsmith.methods.attributes import Attribute, Draw
from medsmith.methods.base import Method, Stage, assemble, evenly_chosen
from medsmith.methods.mddpm.adherence import measure_adherence
from medsmith.methods.mddpm.attributes import followed_map, guide_attributes
from medsmith.methods.mddpm.config import PRESETS, MddpmConfig
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.methods.mddpm.steering import ModelFacts, Steering, annotated_facts, steer
from medsmith.networks import UNet

_QUANTILES, _QUANTILE_CASES = 257, 256


@final
class Mddpm(Method):
    """Images steered by guidance images, in 2-D and 3-D.

    Args:
        config: settings.
        fingerprint: of the training cohort.
    """

    inputs: ClassVar[frozenset[Kind]] = frozenset(("image",))
    checks: ClassVar[tuple[str, ...]] = (
        "labels_declared", "annotation_followed", "image_finite", "image_range", "image_spread", "image_noise",
        "not_a_copy",
    )  # fmt: skip
    presets: ClassVar[Mapping[str, BaseModel]] = PRESETS
    Config = MddpmConfig
    Request = MddpmRequest

    def __init__(self, config: MddpmConfig, fingerprint: Fingerprint) -> None:
        super().__init__()
        self.config: MddpmConfig = config
        self.fingerprint, self.memory = full_width(fingerprint, config.hounsfield_range), {}
        self._channels = len(fingerprint.channel_names)
        self.process = config.process()
        outputs = self._channels * (1 if config.bound_weight is None else 2)
        self.network = UNet(config.network, fingerprint.dimensions, self._channels, outputs)

    def stages(self) -> tuple[Stage, ...]:
        """The only network."""
        return (Stage("image", parts=("network",), inputs=self.inputs),)

    def prepare(self, case: Case) -> Example:
        """The image on the network's grid."""
        return {"image": image_to_model(case, self.fingerprint, self.config.size)}

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Quantiles of the gray values of the training images, for the histograms of lesions from other images."""
        chosen = evenly_chosen(examples, _QUANTILE_CASES)
        return {"quantiles": _gray_quantiles([example["image"] for example in chosen])}

    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:  # noqa: ARG002
        """Section 4.2.1, eq. 5, with the hybrid loss of Nichol & Dhariwal 2021 where the variance is learned."""
        noised = self.process.noised(batch["image"], rng)
        return self.process.loss(self._predict(noised.x, noised.t), noised)

    def attributes(self) -> Sequence[Attribute]:
        """What guides can be asked for; they need a shape space and a cohort of labeled slices."""
        return guide_attributes() if self.fingerprint.dimensions == 2 else ()

    def request_with_map(self, draw: Draw) -> MddpmRequest:
        """A case that follows the maps of a cohort in turn, by a shape space."""
        return MddpmRequest(anatomy=followed_map(draw))

    def synthesize(
        self, request: MddpmRequest, seed: int, sampling: Sampling, *, observe: Observe | None = None
    ) -> Case:
        """Algorithm 1, with any solver and combination of the guides.

        Raises:
            RequestError: a guide does not fit the method, or a lesion its place.
        """
        steering, schedule = self.steering(request, seed, sampling), self.process.schedule
        correction = match_low_frequencies(schedule, *steering.guides.values(), combination=request.combination)
        image = self.process.sample_one(
            self.process.denoiser(self._predict),
            (self._channels, *self.config.size),
            seed,
            sampling,
            device=self.device,
            corrections=[correction] if steering.guides else [],
            observe=observe,
        )
        case = assemble(image, None, annotated_facts(request, self.fingerprint))
        if not steering.guides:
            return case
        labels = None if steering.labels is None else steering.labels.reshape(case.geometry.shape)
        adherence = measure_adherence(case, steering, self.fingerprint)
        return replace(case, labels=labels, provenance={**steering.record, "adherence": adherence})

    def steering(self, request: MddpmRequest, seed: int, sampling: Sampling) -> Steering:
        """The guides and the annotation of a request.

        Raises:
            RequestError: a guide does not fit the method, or a lesion its place.
        """
        length = len(self.process.schedule)
        model = ModelFacts(self.fingerprint, self.config.size, length, self.memory["quantiles"])
        return steer(request, model, sampling, seed)

    def output_fingerprint(self, request: MddpmRequest) -> Fingerprint:
        """The training cohort's, with the labels that the request brings."""
        return annotated_facts(request, self.fingerprint)

    def _predict(self, x: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]) -> Float[Tensor, "b e *space"]:
        predicted: Tensor = self.network(x, t)
        return predicted


def full_width(facts: Fingerprint, hounsfield_range: tuple[float, float]) -> Fingerprint:
    """The fingerprint with one fixed range for Hounsfield units, so that every display window can be used (section 3).

    Args:
        facts: of the training cohort; other gray values keep their ranges.
        hounsfield_range: HU that become -1 and 1.
    """
    if not facts.is_hounsfield:
        return facts
    return facts.model_copy(update={"robust_range": (hounsfield_range,) * len(facts.channel_names)})


def _gray_quantiles(images: Sequence[Float[Tensor, "c ..."]]) -> Float[Tensor, "c q"]:
    """Equally spaced quantiles of all voxels of some images, per channel."""
    levels = torch.linspace(0, 1, _QUANTILES)
    voxels = [torch.cat([image[channel].flatten() for image in images]).numpy() for channel in range(len(images[0]))]
    return torch.from_numpy(np.stack([np.quantile(one, levels.numpy()) for one in voxels]).astype(np.float32))
