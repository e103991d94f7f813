"""A small U-Net, trained for a fixed number of steps on fixed cases, or on some first and on others then."""

import math
from collections.abc import Sequence
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from medsmith.evaluation.downstream.pool import Pool
from medsmith.progress import Advance

_LEVELS = 4
MULTIPLE = 2 ** (_LEVELS - 1)
_CLIP = 1.0
_TELL = 10
Cases = tuple[Float[Tensor, "_ c *space"], Int64[Tensor, "_ *space"]]
"""As many images as label maps; labels count from 0."""


@final
class Training(BaseModel):
    """How every network is trained, whatever it learns from.

    Attributes:
        steps: gradient steps of all courses together; the last weights are tested, so that nothing is selected.
        batch: cases per step.
        learning_rate: of AdamW at the start; falls to 0 along a cosine.
        channels: of the first level; each further one has twice as many.
        precision: of the network passes. bfloat16 pays where the processor computes in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1000, ge=2)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    channels: int = Field(default=16, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"


def train_segmenter(
    courses: Sequence[Cases], classes: int, training: Training, seed: int, advance: Advance
) -> nn.Module:
    """Trains a U-Net; on a CPU the seed and the cases alone decide its weights.

    Optimiser and learning rate run on from course to course, so that courses of the same cases are one.

    Args:
        courses: cases to learn from, one after the other for equal shares of the steps.
        classes: labels, background among them.
        training: steps, batch and the rest.
        seed: of weights, batches and flips.
        advance: told of the steps.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = _network(courses[0][0], classes, training, seed).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), training.learning_rate)
    loss_of = DiceCELoss(include_background=False, softmax=True, to_onehot_y=True, batch=True)
    draw = torch.Generator().manual_seed(seed)
    for step in range(training.steps):
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * (1 + math.cos(math.pi * step / training.steps)) / 2
        course = courses[step * len(courses) // training.steps]
        x, y = _flipped(*_batch(*course, training.batch, draw), draw)
        with torch.autocast(device, torch.bfloat16, enabled=training.precision == "bfloat16"):
            answer = network(x.to(device))
        loss = loss_of(answer.float(), y[:, None].to(device))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        if (step + 1) % _TELL == 0:
            advance(_TELL, f"loss {loss.item():.3f}")
    advance(training.steps % _TELL, "")
    network.eval()
    return network.cpu()


def _network(images: Float[Tensor, "n c *space"], classes: int, training: Training, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = UNet(
            spatial_dims=images.ndim - 2,
            in_channels=images.shape[1],
            out_channels=classes,
            channels=[training.channels * 2**level for level in range(_LEVELS)],
            strides=[2] * (_LEVELS - 1),
            num_res_units=2,
        )
    return network


def _batch(
    images: Float[Tensor, "n c *space"], labels: Int64[Tensor, "n *space"], size: int, draw: torch.Generator
) -> tuple[Float[Tensor, "b c *space"], Int64[Tensor, "b *space"]]:
    rows = torch.randint(len(images), (size,), generator=draw)
    return images[rows], labels[rows]


def _flipped(
    images: Float[Tensor, "b c *space"], labels: Int64[Tensor, "b *space"], draw: torch.Generator
) -> tuple[Float[Tensor, "b c *space"], Int64[Tensor, "b *space"]]:
    """Half of the cases mirrored left to right, the one flip that keeps the physics of every modality."""
    mirrored = torch.rand(len(images), generator=draw) < 0.5
    images, labels = images.clone(), labels.clone()
    images[mirrored] = images[mirrored].flip(2)
    labels[mirrored] = labels[mirrored].flip(1)
    return images, labels


@torch.inference_mode()
def dice_of_cases(network: nn.Module, pool: Pool, classes: int) -> Float64[np.ndarray, "n labels"]:
    """Dice of every case and label on the case's own grid.

    A label that neither truth nor answer has scores 1, one that only one of them has 0.

    Args:
        network: answers with one score per class.
        pool: cases to be tested on.
        classes: labels, background among them.
    """
    rows = []
    for image, truth in zip(pool.images, pool.truth, strict=True):
        answer = _segmented(network, image, truth.shape)
        rows.append([dice(answer == value, truth == value) for value in range(1, classes)])
    return np.array(rows, np.float64)


def _segmented(
    network: nn.Module, image: Float[Tensor, "c *space"], shape: tuple[int, ...]
) -> UInt8[np.ndarray, "..."]:
    scores = network(image[None]).softmax(dim=1)
    mode = "bilinear" if image.ndim == 3 else "trilinear"
    full = interpolate(scores, size=shape, mode=mode, align_corners=False)
    return np.asarray(full[0].argmax(dim=0).numpy(), np.uint8)


def dice(answer: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of two masks; 1 where both are empty."""
    total = int(answer.sum()) + int(truth.sum())
    return 2 * int((answer & truth).sum()) / total if total else 1.0
