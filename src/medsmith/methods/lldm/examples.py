"""Training examples of 3D-LLDM: images in model space and label maps of indices on the network's grid."""

from collections.abc import Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.batches import Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.methods.label_maps import extent_of, indices_of


def example_of(case: Case, facts: Fingerprint, size: tuple[int, ...]) -> Example:
    """What the case has: its image c *space in [-1, 1], its labels 1 *space as indices, and its field of view.

    Args:
        case: in canonical axes.
        facts: of the training cohort.
        size: grid of the network.
    """
    example: dict[str, Tensor] = {"extent": extent_of(case, facts)}
    if case.image is not None:
        example["image"] = image_to_model(case, facts, size)
    if case.labels is not None and facts.foreground_labels:
        example["labels"] = indices_of(case, facts, size)[None]
    return example


def extent_range(examples: Sequence[Example]) -> Float32[Tensor, "2 axes"]:
    """Smallest and largest ``extent_of`` of some examples, along each axis."""
    extents = torch.stack([each["extent"] for each in examples])
    return torch.stack([extents.amin(0), extents.amax(0)])


def class_weights(examples: Sequence[Example], classes: int, power: float) -> Float32[Tensor, "k"]:
    """Weight of each class in the label loss: a power of the inverse of its share of all voxels, with mean 1.

    A class that no map has gets the weight of the rarest one that some map has.

    Args:
        examples: with labels.
        classes: with the background.
        power: of the inverse share, 0 to 1.
    """
    counts = sum(
        (torch.bincount(each["labels"].long().flatten(), minlength=classes) for each in examples),
        torch.zeros(classes, dtype=torch.int64),
    )
    shares = counts.double() / counts.sum()
    weights = torch.where(shares > 0, shares, shares[shares > 0].min()) ** -power
    return (weights / weights.mean()).float()
