"""The contract that every method fulfils. One method is one paper: one final subclass in ``methods/``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel
from torch import Tensor, nn

from medsmith.case import Case, Geometry
from medsmith.compute import Compute
from medsmith.config import SamplingConfig, TrainingConfig
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import model_to_image, model_to_labels
from medsmith.diffusion import Denoiser, NoiseSchedule, SeededNoise, Solver, last, sample


class MethodConfig(Protocol):
    """What training and synthesis read of any method's config."""

    @property
    def size(self) -> tuple[int, ...]:
        """Grid of the networks, voxels along each axis of space."""
        ...

    @property
    def training(self) -> TrainingConfig:
        """How each stage is trained."""
        ...

    @property
    def sampling(self) -> SamplingConfig:
        """How a trained method samples unless told otherwise."""
        ...


class Method(nn.Module, ABC):
    """A trainable way of making annotated images.

    Class attributes:
        stages: stage -> names of the parts (sub-modules) trained in turn on each batch of it, in training order.
        dimensions: of the images it can make.
        checks: names of the general checks that its cases must pass; None for all. A method that edits real scans
            cannot promise what a whole training cohort looks like.
        presets: name -> config.
        Config: type of the config.
        Request: type of what can be asked of one case; an empty request must be valid or be refused by name.

    Attributes:
        fingerprint: of the cohort it is trained on.
        memory: what it keeps of its training cohort beside weights; filled by ``remember`` or from a run folder.
        compute: how its passes are computed.
        name: the method's name.
        weights_hash: sha256 of the loaded weights file.
    """

    stages: ClassVar[Mapping[str, tuple[str, ...]]]
    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    checks: ClassVar[tuple[str, ...] | None] = None
    presets: ClassVar[Mapping[str, BaseModel]]
    Config: ClassVar[type[BaseModel]]
    Request: ClassVar[type[BaseModel]]

    config: MethodConfig
    fingerprint: Fingerprint
    memory: Mapping[str, Tensor]
    compute: Compute = Compute()
    name: str
    weights_hash: str

    @abstractmethod
    def prepare(self, case: Case) -> Example:
        """One case as tensors c *space in model space."""

    @abstractmethod
    def loss(self, part: str, batch: Batch, draw: torch.Generator) -> Float[Tensor, ""]:
        """What training of one part minimises.

        Args:
            part: name of the part whose weights move.
            batch: prepared cases, b c *space.
            draw: source of times and noise, on the CPU.
        """

    @abstractmethod
    def synthesize(self, request: Any, seed: int, *, solver: Solver, steps: int) -> Case:
        """One new case, not yet named; its bytes depend on weights, request, seed, solver and steps.

        What it has as provenance goes into the record of the finished case as it is.

        Raises:
            RequestError: something is asked for that this method cannot do.
        """

    def planned_stages(self) -> tuple[str, ...]:
        """Stages that this config needs, in training order; by default all."""
        return tuple(self.stages)

    def needs(self, stage: str) -> tuple[str, ...]:
        """Stages whose weights a stage learns on, and that are trained before it; by default all earlier ones."""
        planned = self.planned_stages()
        return planned[: planned.index(stage)]

    def uses(self, stage: str, example: Example) -> bool:  # noqa: ARG002
        """Whether a stage learns from a prepared case; by default every stage from every case."""
        return True

    def remember(self, examples: Sequence[Example]) -> Mapping[str, Tensor]:  # noqa: ARG002
        """What the method keeps of its training cohort beside weights; by default nothing."""
        return {}

    def makes(self, request: Any) -> Fingerprint:  # noqa: ARG002
        """What the cases made for a request are like; by default as the training cohort.

        Raises:
            RequestError: the request names something that is not there.
        """
        return self.fingerprint

    def walk(self, solver: Solver, steps: int) -> SamplingConfig:
        """The configured sampling with another solver and number of steps."""
        return self.config.sampling.model_copy(update={"solver": solver, "steps": steps})

    def part(self, name: str) -> nn.Module:
        """A trainable part by name."""
        return self.get_submodule(name)

    def forward(self, part: str, batch: Batch, draw: torch.Generator) -> Float[Tensor, ""]:
        """The loss: distributed training wraps ``forward``."""
        return self.loss(part, batch, draw)


def finished(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    shape: tuple[int, ...],
    seed: int,
    sampling: SamplingConfig,
    device: torch.device,
    temperature: float = 1.0,
) -> Float32[Tensor, "c *space"]:
    """Walk one case from noise to its finished state, without batch axis, on the CPU.

    Args:
        denoise: with all conditions bound.
        schedule: that it was trained on.
        shape: channels and space of the state.
        seed: of all noise.
        sampling: solver, steps and stochasticity.
        device: where the networks are.
        temperature: standard deviation of all noise.
    """
    walk = sample(
        denoise,
        schedule,
        shape,
        SeededNoise((seed,), temperature),
        solver=sampling.solver,
        steps=sampling.steps,
        stochasticity=sampling.stochasticity if sampling.solver == "ddim" else 0.0,
        device=device,
    )
    with torch.inference_mode():
        return last(walk)[0].float().cpu()


def assemble(image: Float32[Tensor, "c *space"], masks: Float32[Tensor, "k *space"], fingerprint: Fingerprint) -> Case:
    """A synthetic case, not yet named, from clean estimates in model space, on the cohort's median field of view."""
    labels = model_to_labels(masks, fingerprint)
    grid = (labels.shape[0], labels.shape[1], labels.shape[2])
    field = Geometry(fingerprint.shape, np.diag([*fingerprint.spacing, 1.0]), spacing_known=True)
    geometry = field.resampled(grid) if fingerprint.spacing_known else Geometry.plain(grid)
    return Case(
        id="",
        image=model_to_image(image, fingerprint),
        labels=labels,
        geometry=geometry,
        channel_names=fingerprint.channel_names,
        label_names=fingerprint.label_names,
        stored=np.dtype(fingerprint.stored),
    )
