"""The interface of every method. One method is one paper: one final subclass in ``methods/``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import BaseModel
from torch import Tensor, nn

from medsmith.cases.case import Case, Kind
from medsmith.data.batches import Batch, Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import model_to_image, model_to_labels
from medsmith.diffusion import Observe, Sampling, derive_seed
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.methods.attributes import Attribute, Draw
from medsmith.methods.config import TrainingConfig

_Item = TypeVar("_Item")
IMAGE = "image"
"""Name of the tensor of an example that holds the image: the check of noise measures it."""
IMAGE_AND_LABELS: frozenset[Kind] = frozenset(("image", "labels"))
PREVIEW_STEPS = 8
"""Largest number of sampling steps of a preview."""


@runtime_checkable
class MethodConfig(Protocol):
    """Fields that training and synthesis read from the config of any method."""

    @property
    def size(self) -> tuple[int, ...]:
        """Grid of the networks, voxels along each axis of space; () without networks."""
        ...

    @property
    def training(self) -> TrainingConfig:
        """Training of the stages without settings of their own."""
        ...

    @property
    def sampling(self) -> Sampling:
        """Default settings of sampling."""
        ...


@final
@dataclass(frozen=True)
class Stage:
    """One stage of the training of a method.

    Attributes:
        name: unique in the method.
        parts: names of the sub-modules that are trained in turn on each batch; () for a stage without steps, which only
            keeps what ``Method.begin`` returns.
        needs: stages that must be trained before; their parts are frozen in this one.
        inputs: what a case must have to be an example of this stage.
        training: settings; None takes the config's ``training``.
        encoded: whether each example, in every mirrored form, is encoded once by ``Method.encode`` (frozen networks, a
            latent) and stored on disk before training.
    """

    name: str
    parts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    inputs: frozenset[Kind] = IMAGE_AND_LABELS
    training: TrainingConfig | None = None
    encoded: bool = False


class Method(nn.Module, ABC):
    """A trainable generator of annotated images.

    Class attributes:
        dimensions: of the images it can make.
        inputs: what some case of a training cohort must have: without it the networks cannot be built.
        checks: names of the general checks that its cases must pass; None for all. The cases of a method that edits
            real scans need not look like its training cohort.
        presets: name -> config.
        Config: type of the config.
        Request: type of the request for one case; an empty request must be valid, or be refused with a clear error.
        trial_settings: settings under which the first steps take as much time and memory as any later one.

    Attributes:
        fingerprint: of the cohort it is trained on.
        memory: what it keeps of its training cohort besides weights; filled by ``begin`` or from a run folder.
        name: the method's name.
        precision: number formats and layouts of its passes, as a short text.
        weights_hash: sha256 of the loaded weights file.
    """

    dimensions: ClassVar[tuple[int, ...]] = (2, 3)
    inputs: ClassVar[frozenset[Kind]] = IMAGE_AND_LABELS
    checks: ClassVar[tuple[str, ...] | None] = None
    presets: ClassVar[Mapping[str, BaseModel]]
    trial_settings: ClassVar[tuple[str, ...]] = ()
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
        """The stages for this config and cohort, in order."""

    @abstractmethod
    def prepare(self, case: Case) -> Example:
        """A case in canonical axes as tensors c *space in model space; without labels there are no label tensors.

        The image that the networks learn, on their grid, is named ``IMAGE``; a method without it gets no noise check.
        """

    @abstractmethod
    def loss(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """The training loss of one part.

        Args:
            part: name of the part that is trained.
            batch: prepared cases, b c *space.
            rng: source of times and noise, on the CPU.
        """

    @abstractmethod
    def synthesize(self, request: Any, seed: int, sampling: Sampling, *, observe: Observe | None = None) -> Case:
        """A new case without an id; its bytes depend on weights, request, seed and sampling alone.

        Its provenance is copied into the record of the case.

        Args:
            request: of the type ``Request``.
            seed: of all randomness.
            sampling: solver and steps.
            observe: called with every sampling step.

        Raises:
            RequestError: the method cannot fulfil the request.
        """

    @classmethod
    def proposals(cls, preset: str, facts: Fingerprint) -> Sequence[tuple[str, ...]]:  # noqa: ARG003
        """Settings that suit a cohort, from large to small; none leaves the preset as it is.

        Args:
            preset: the preset that they change.
            facts: of the cohort.
        """
        return ()

    @classmethod
    def advice(cls, facts: Fingerprint) -> Sequence[str]:  # noqa: ARG003
        """What a cohort suggests to do before training, one line each."""
        return ()

    def begin(self, stage: str, examples: Sequence[Example]) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Called once before the first step of a stage, to set what depends on the data or on earlier stages.

        It may set buffers of any part (the scale of latents) and weights of the stage's own parts (a ControlNet's copy
        of an encoder).

        Args:
            stage: its name; the stages that it needs are trained.
            examples: of the stage, not encoded.

        Returns:
            What is added to ``memory``, such as a bank of masks.
        """
        return {}

    def encode(self, stage: str, example: Example) -> Example:  # noqa: ARG002
        """The example of an encoded stage, computed by networks that are frozen in it."""
        return example

    def output_fingerprint(self, request: Any) -> Fingerprint:  # noqa: ARG002
        """Fingerprint of the cases made for a request; by default that of the training cohort.

        Raises:
            RequestError: the request names something that does not exist.
        """
        return self.fingerprint

    def checks_of(self, request: Any) -> tuple[str, ...] | None:  # noqa: ARG002
        """Names of the checks that the cases of a request must pass; by default ``checks``."""
        return self.checks

    def request_of_case(self, request: Any, index: int) -> Any:  # noqa: ARG002
        """The request of one case, for requests that differ between the cases of a cohort; by default the same for all.

        Args:
            request: of the cohort.
            index: of the case.

        Raises:
            MedsmithError: a file that the request names cannot be read.
        """
        return request

    def attributes(self) -> Sequence[Attribute]:
        """What the method can be asked for, and how each property is measured (``medsmith adherence``)."""
        return ()

    def request_with_map(self, draw: Draw) -> BaseModel:
        """The request of a case whose image is to follow its label map, for the measure of label fidelity.

        Args:
            draw: names the cohort whose maps are followed, if any; else they are those that the method has or makes.

        Raises:
            RequestError: the method follows no given maps.
        """
        if draw.templates is not None:
            raise RequestError("templates", f"{self.name} follows no given label maps", cure="leave them out")
        return self.Request()

    def preview(self, count: int) -> list[Case]:
        """A few cases in a few steps, for previews in training; always from the same seeds."""
        few = self.config.sampling.override(steps=min(self.config.sampling.steps, PREVIEW_STEPS))
        request = self.preview_request()
        return [self.synthesize(request, derive_seed("sample", index), few) for index in range(count)]

    def preview_request(self) -> BaseModel:
        """What previews are asked for."""
        return self.Request()

    def training_of(self, stage: Stage) -> TrainingConfig:
        """Training settings of a stage."""
        return stage.training or self.config.training

    def part(self, name: str) -> nn.Module:
        """A trainable part by name."""
        return self.get_submodule(name)

    @property
    def device(self) -> torch.device:
        """Device of the networks; the CPU without any."""
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    def forward(self, part: str, batch: Batch, rng: torch.Generator) -> Float[Tensor, ""]:
        """The loss: distributed training wraps ``forward``."""
        return self.loss(part, batch, rng)


def evenly_chosen(examples: Sequence[_Item], most: int) -> list[_Item]:
    """At most so many of a sequence, evenly over its order.

    Args:
        examples: read one by one.
        most: their largest number, at least 1.
    """
    count = min(len(examples), most)
    return [examples[number * len(examples) // count] for number in range(count)]


def assemble(
    image: Float32[Tensor, "c *space"] | None, masks: Float32[Tensor, "k *space"] | None, fingerprint: Fingerprint
) -> Case:
    """A synthetic case without an id from clean estimates in model space, on the median field of view of the cohort.

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
