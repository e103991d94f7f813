"""A small segmentation network, trained for a fixed number of steps in one or more phases."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from monai.losses import DiceCELoss
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from medsmith.errors import TrainingError
from medsmith.evaluation.downstream.architectures import LEVELS, Architecture, build_architecture
from medsmith.evaluation.downstream.augmentation import Augment, random_flip
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.machine import usual_device
from medsmith.measurement.overlap import dice
from medsmith.networks.limits import MOST_CHANNELS
from medsmith.progress import Advance

MULTIPLE = 2 ** (LEVELS - 1)
_CLIP = 1.0
_REPORT_EVERY = 10
Cases = tuple[Float[Tensor, "_ c *space"], Int64[Tensor, "_ *space"]]
"""As many images as label maps; labels are class indices from 0."""


@final
@dataclass(frozen=True, eq=False)
class Mixture:
    """Real and synthetic cases at a fixed share of each batch, whatever the number of either.

    Attributes:
        real: real cases.
        synthetic: synthetic cases.
        share: of synthetic cases in a batch; where it is no whole number of cases, batches take turns.
        weight: of the loss of a synthetic case; that of a real one is 1.
    """

    real: Cases
    synthetic: Cases
    share: float = 0.5
    weight: float = 1.0

    def synthetic_in(self, step: int, batch: int) -> int:
        """Number of synthetic cases in the batch of a step, from 0."""
        before, after = (math.floor(count * self.share * batch + 1e-9) for count in (step, step + 1))
        return after - before


Phase = Cases | Mixture
"""What is learned from in a part of the steps."""


@final
class SegmenterConfig(BaseModel):
    """Training settings, equal for all arms.

    Attributes:
        architecture: of the network.
        steps: gradient steps over all phases; the last weights are tested, no checkpoint is selected.
        batch: cases per step.
        learning_rate: initial learning rate of AdamW; decays to 0 by a cosine schedule.
        channels: of the first level; doubled at each further level.
        precision: of the network passes; bfloat16 is faster on processors that support it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Architecture = "resunet"
    steps: int = Field(default=1000, ge=2, le=10**9)
    batch: int = Field(default=16, ge=1, le=4096)
    learning_rate: float = Field(default=2e-3, gt=0)
    channels: int = Field(default=16, ge=1, le=MOST_CHANNELS)
    precision: Literal["float32", "bfloat16"] = "float32"


def train_segmenter(
    phases: Sequence[Phase],
    classes: int,
    config: SegmenterConfig,
    seed: int,
    advance: Advance,
    augment: Augment = random_flip,
) -> nn.Module:
    """Train a network; on a CPU its weights depend on the seed, the cases, the config and the number of threads only.

    Optimizer state and learning-rate schedule continue across phases.

    Args:
        phases: training cases of each phase, or a mixture; each phase takes an equal share of the steps.
        classes: number of classes including background.
        config: training settings.
        seed: of weights, batches and augmentation.
        advance: called with the number of steps done.
        augment: changes each batch at random.

    Raises:
        TrainingError: the loss is not finite.
    """
    device = usual_device()
    images = phases[0].real[0] if isinstance(phases[0], Mixture) else phases[0][0]
    network = build_segmenter((images.ndim - 2, images.shape[1]), classes, config, seed).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    loss_of = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout has no generator of its own
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 + math.cos(math.pi * step / config.steps)) / 2
            phase = phases[step * len(phases) // config.steps]
            parts, weights = _drawn(phase, step, config.batch, rng)
            x, y = augment(torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]), rng)
            with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
                logits = network(x.to(device)).float()
            counts, y = [len(part[0]) for part in parts], y[:, None].to(device)
            losses = map(loss_of, torch.split(logits, counts), torch.split(y, counts))
            loss: Any = torch.stack([weight * each for weight, each in zip(weights, losses, strict=True)]).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimizer.step()
            if (step + 1) % _REPORT_EVERY == 0 or step == config.steps - 1:
                advance((step % _REPORT_EVERY) + 1, f"loss {_finite(loss.item(), config, step):.3f}")
    network.eval()
    return network.cpu()


def _finite(loss: float, config: SegmenterConfig, step: int) -> float:
    if math.isfinite(loss):
        return loss
    cure = "lower the learning rate" if config.precision == "float32" else "compute in float32"
    raise TrainingError(f"{config.architecture}, step {step + 1}", f"loss {loss}", "a finite loss", cure)


def mixed(first: Cases, second: Cases) -> Cases:
    """Two sets together, the smaller one repeated, so that half of a random batch is of each on average."""
    count = max(len(first[0]), len(second[0]))
    rows = [torch.arange(count) % len(each[0]) for each in (first, second)]
    images = torch.cat([first[0][rows[0]], second[0][rows[1]]])
    return images, torch.cat([first[1][rows[0]], second[1][rows[1]]])


def build_segmenter(shape: tuple[int, int], classes: int, config: SegmenterConfig, seed: int = 0) -> nn.Module:
    """The untrained network.

    Args:
        shape: axes of space and channels of its images.
        classes: number of classes including background.
        config: has the architecture and its width.
        seed: of its weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_architecture(config.architecture, *shape, classes, config.channels)


def _drawn(phase: Phase, step: int, batch: int, rng: torch.Generator) -> tuple[list[Cases], list[float]]:
    """The cases of a step, real and synthetic apart, and the weight of the loss of each part."""
    if not isinstance(phase, Mixture):
        return [_batch(*phase, batch, rng)], [1.0]
    synthetic = phase.synthetic_in(step, batch)
    sets = ((phase.real, batch - synthetic, 1.0), (phase.synthetic, synthetic, phase.weight))
    there = [(cases, count, weight) for cases, count, weight in sets if count]
    total = sum(count * weight for _, count, weight in there)
    parts = [_batch(*cases, count, rng) for cases, count, _ in there]
    return parts, [count * weight / total for _, count, weight in there]


def _batch(
    images: Float[Tensor, "n c *space"], labels: Int64[Tensor, "n *space"], size: int, rng: torch.Generator
) -> tuple[Float[Tensor, "b c *space"], Int64[Tensor, "b *space"]]:
    rows = torch.randint(len(images), (size,), generator=rng)
    return images[rows], labels[rows]


def predicted_labels(network: nn.Module, cohort: LoadedCohort) -> Iterator[UInt8[np.ndarray, "*space"]]:
    """Class indices of every case on its own grid."""
    for image, truth in zip(cohort.images, cohort.truth, strict=True):
        yield np.asarray(class_shares(network, image, truth.shape).argmax(axis=0), np.uint8)


def dice_of_cases(network: nn.Module, cohort: LoadedCohort, classes: int) -> Float64[np.ndarray, "n labels"]:
    """Dice of every case and label on the case's own grid.

    A label absent from both reference and prediction scores 1; a label present in only one of them scores 0.

    Args:
        network: returns one logit per class.
        cohort: the test cases.
        classes: number of classes including background.
    """
    pairs = zip(predicted_labels(network, cohort), cohort.truth, strict=True)
    rows = [[dice(predicted == value, truth == value) for value in range(1, classes)] for predicted, truth in pairs]
    return np.array(rows, np.float64)


@torch.inference_mode()
def class_shares(
    network: nn.Module, image: Float[Tensor, "c *space"], shape: tuple[int, ...]
) -> Float32[np.ndarray, "classes *grid"]:
    """The probability of each class at every voxel of a grid over the same field of view.

    Args:
        network: returns one logit per class.
        image: standardized, on the grid of the network.
        shape: voxels along each axis of the grid.
    """
    scores = network(image[None]).softmax(dim=1)
    mode = "bilinear" if image.ndim == 3 else "trilinear"
    full = interpolate(scores, size=shape, mode=mode, align_corners=False)
    return np.asarray(full[0].numpy(), np.float32)
