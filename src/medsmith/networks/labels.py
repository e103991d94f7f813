"""Label maps for networks: one-hot channels in, logits out, and the losses between them."""

import torch
from jaxtyping import Float, Float32, Int64, Integer
from torch import Tensor
from torch.nn import functional

_SMOOTH = 1e-5
"""Added to both parts of the Dice ratio, which keeps it finite where a class is in neither map (MONAI's default)."""


def one_hot(labels: Integer[Tensor, "b *space"], classes: int) -> Float32[Tensor, "b k *space"]:
    """One channel per class, 1 where the label is.

    Args:
        labels: 0 to ``classes - 1``.
        classes: number of classes, the background included.

    Raises:
        RuntimeError: a label out of this range.
    """
    return functional.one_hot(labels.long(), classes).movedim(-1, 1).float()


def most_likely(logits: Float[Tensor, "b k *space"]) -> Int64[Tensor, "b *space"]:
    """The label with the largest logit (the first of equals); the inverse of ``one_hot``."""
    return logits.argmax(1)


def dice_loss(
    logits: Float[Tensor, "b k *space"],
    labels: Integer[Tensor, "b *space"],
    class_weights: Float[Tensor, "k"] | None = None,
) -> Float32[Tensor, ""]:
    """1 - 2 |P T| / (|P| + |T|) of probabilities P and targets T, per image and class (Milletari et al. 2016).

    Args:
        logits: of each class.
        labels: the target.
        class_weights: of the mean over classes; None for equal ones.
    """
    likely, target = logits.float().softmax(1).flatten(2), one_hot(labels, logits.shape[1]).flatten(2)
    shared, sizes = (likely * target).sum(2), likely.sum(2) + target.sum(2)
    each = (1 - (2 * shared + _SMOOTH) / (sizes + _SMOOTH)).mean(0)
    weights = torch.ones_like(each) if class_weights is None else class_weights.float()
    return (weights * each).sum() / weights.sum()


def cross_entropy(
    logits: Float[Tensor, "b k *space"],
    labels: Integer[Tensor, "b *space"],
    class_weights: Float[Tensor, "k"] | None = None,
) -> Float32[Tensor, ""]:
    """Mean of -log p(label) over voxels, each weighted by its class, in nats."""
    weights = None if class_weights is None else class_weights.float()
    return functional.cross_entropy(logits.float(), labels.long(), weights)
