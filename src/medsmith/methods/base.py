"""The contract that every method fulfils. One method is one paper: one final subclass in ``methods/``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, final

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel
from torch import Tensor, nn

from medsmith.cases.case import Case
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import model_to_image, model_to_labels
from medsmith.diffusion import Observe, Sampling, derive_seed
from medsmith.geometry import Geometry
from medsmith.methods.config import TrainingConfig

Kind = Literal["image", "labels"]
IMAGE_AND_LABELS: frozenset[Kind] = frozenset(("image", "labels"))
PREVIEW_STEPS = 8
"""Most sampling steps of a preview."""


class MethodConfig(Protocol):
    """What training and synthesis read of any method's config."""

    @property
    def size(self) -> tuple[int, ...]:
        """Grid of the networks, voxels along each axis of space."""
        ...

    @property
    def training(self) -> TrainingConfig:
        """How a stage is trained that has no settings of its own."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How a trained method samples unless told otherwise."""
        ...


@final
@dataclass(frozen=True)
class Stage:
    """One part of a method's training.

    Attributes:
        name: unique in the method.
        parts: names of the sub-modules that are trained in turn on each batch.
        needs: stages that must be trained before; their parts are frozen meanwhile.
        inputs: what a case must have for this stage to learn from it.
        training: how; None takes the config's ``training``.
        encoded: whether each example passes once through ``Method.encode`` before training (frozen networks, a latent),
            in every mirrored form; the result is kept on disk.
    """

    name: str
    parts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    inputs: frozenset[Kind] = IMAGE_AND_LABELS
    training: TrainingConfig | None = None
    encoded: bool = False


class Method(nn.Module, ABC):
    """A trainable way of making annotated images.

    Class attributes:
        dimensions: of the images it can make.
        inputs: what some case of a training cohort must have: without it the networks cannot be built.
        checks: names of the general checks that its cases must pass; None for all. A method that edits real scans
            cannot promise what a whole training cohort looks like.
        presets: name -> config.
        Config: type of the config.
        Request: type of what can be asked of one case; an empty request must be valid or be refused by name.

    Attributes:
        fingerprint: of the cohort it is trained on.
        memory: what it keeps of its training cohort beside weights; filled by ``begin`` or from a run folder.
        name: the method's name.
        precision: how its passes are computed, in a few words.
        weights_hash: sha256 of the loaded weights file.
    """

    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    inputs: ClassVar[frozenset[Kind]] = IMAGE_AND_LABELS
    checks: ClassVar[tuple[str, ...] | None] = None
    presets: ClassVar[Mapping[str, BaseModel]]
    Config: ClassVar[type[BaseModel]]
    Request: ClassVar[type[BaseModel]]

    config: MethodConfig
    fingerprint: Fingerprint
    memory: Mapping[str, Tensor]
    name: str
    precision: str = "float32"
    weights_hash: str

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """What is trained for this config and cohort, in order."""

    @abstractmethod
    def prepare(self, case: Case) -> Example:
        """One case, in canonical axes, as tensors c *space in model space; a case without labels gives none of them."""

    @abstractmethod
    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """What training of one part minimises.

        Args:
            part: name of the part whose weights move.
            batch: prepared cases, b c *space.
            rng: source of times and noise, on the CPU.
        """

    @abstractmethod
    def synthesize(self, request: Any, seed: int, sampling: Sampling, *, observe: Observe | None = None) -> Case:
        """One new case, not yet named; its bytes depend on weights, request, seed and sampling.

        What it has as provenance goes into the record of the finished case as it is.

        Args:
            request: of the type ``Request``.
            seed: of everything that is drawn.
            sampling: solver and steps.
            observe: told of every sampling step.

        Raises:
            RequestError: something is asked for that this method cannot do.
        """

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Once, before the first step of a stage: what must be set from the data or from earlier stages.

        Buffers of any part (the scale of a latent) and weights of the stage's own parts (a ControlNet's copy of an
        encoder) may be set. What is returned is kept in ``memory`` (a bank of masks).

        Args:
            stage: its name; the stages that it needs are trained.
            examples: those that it learns from, not encoded.
        """
        return {}

    def encode(self, stage: str, example: Example) -> Example:  # noqa: ARG002
        """What an encoded stage learns from, by networks that are frozen in it."""
        return example

    def makes(self, request: Any) -> Fingerprint:  # noqa: ARG002
        """What the cases made for a request are like; by default as the training cohort.

        Raises:
            RequestError: the request names something that is not there.
        """
        return self.fingerprint

    def preview(self, count: int) -> list[Case]:
        """A few cases in a few steps, to be looked at while training; the same seeds every time."""
        few = self.config.sampling.override(steps=min(self.config.sampling.steps, PREVIEW_STEPS))
        return [self.synthesize(self.Request(), derive_seed("sample", index), few) for index in range(count)]

    def training_of(self, stage: Stage) -> TrainingConfig:
        """How a stage is trained."""
        return stage.training or self.config.training

    def part(self, name: str) -> nn.Module:
        """A trainable part by name."""
        return self.get_submodule(name)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.parameters()).device

    def forward(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """The loss: distributed training wraps ``forward``."""
        return self.loss(part, batch, rng)


def assemble(
    image: Float32[Tensor, "c *space"] | None, masks: Float32[Tensor, "k *space"] | None, fingerprint: Fingerprint
) -> Case:
    """A synthetic case, not yet named, from clean estimates in model space, on the cohort's median field of view.

    Args:
        image: in [-1, 1]; None makes a label map alone.
        masks: one channel per label above background, positive inside; None makes an image alone.
        fingerprint: of the training cohort.

    Raises:
        ContentError: neither is given.
    """
    labels = None if masks is None else model_to_labels(masks, fingerprint)
    space = next((tuple(part.shape[1:]) for part in (image, masks) if part is not None), ())
    x, y, z = (*space, *[1] * (3 - len(space)))
    grid = (x, y, z)
    field = Geometry(fingerprint.shape, np.diag([*fingerprint.spacing, 1.0]), spacing_known=True)
    geometry = field.resampled(grid) if fingerprint.spacing_known else Geometry.plain(grid)
    return Case(
        id="",
        image=None if image is None else model_to_image(image, fingerprint),
        labels=labels,
        geometry=geometry,
        channel_names=fingerprint.channel_names,
        label_names=fingerprint.label_names,
        stored=np.dtype(fingerprint.stored),
    )
