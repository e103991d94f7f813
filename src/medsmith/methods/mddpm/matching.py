"""The gray values of a lesion's image brought to those of the image that the lesion becomes part of.

Histograms of whole images also carry the shares of air, lung and tissue: where these differ, the lung around a lesion
becomes darker or brighter than the lung that it is put into. So the means of lung and tissue are matched where both
images show them, and histograms where they do not.

Axes: c channels, ``*own`` = x y or x y z of the lesion's image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float32
from skimage.exposure import match_histograms
from torch import Tensor

from medsmith.anatomy.context import BODY, BONE, LUNG, find_context

Levels = Float32[Tensor, "c 2"]
"""Mean gray value of lung and of tissue, in model space; NaN in channels that do not tell them apart."""
_APART = 2.0
"""Least distance of the two means, in standard deviations within the classes (their mean): below it, what a line
through them stretches is noise."""
_SLOPES = (0.2, 5.0)
"""Range of the slope of that line, either way: beyond it one of the images hardly shows the contrast."""


@final
@dataclass(frozen=True, eq=False)
class GrayTarget:
    """What gray values are matched to.

    Attributes:
        voxels: gray values in model space; their histogram.
        levels: means of lung and tissue; None where they are not known.
    """

    voxels: Float32[Tensor, "c ..."]
    levels: Levels | None = None


def gray_levels(image: Float32[Tensor, "c x y"], context: Mapping[str, Bool[np.ndarray, "x y"]]) -> Levels | None:
    """Means of lung and tissue, the body without lung and bone; None where one of them is not there.

    The context is found in one channel; another may not tell lung and tissue apart, and has NaN.

    Args:
        image: in model space.
        context: name -> mask of its context classes, on the same grid.
    """
    if LUNG not in context or BODY not in context:
        return None
    lung = context[LUNG]
    tissue = context[BODY] & ~lung & ~context.get(BONE, np.zeros_like(lung))
    if not tissue.any():
        return None
    voxels = [image[:, torch.from_numpy(mask)] for mask in (lung, tissue)]
    means = torch.stack([each.mean(1) for each in voxels], 1)
    spread = torch.stack([each.std(1, correction=0) for each in voxels], 1).mean(1)
    apart = (means[:, 1] - means[:, 0]).abs() > _APART * spread
    return torch.where(apart[:, None], means, torch.nan)


def levels_of_slice(image: Float32[Tensor, "c x y"]) -> Levels | None:
    """Means of lung and tissue of a slice in model space; None where it does not show them.

    Args:
        image: in model space; the classes are found in its first channel.
    """
    return gray_levels(image, find_context(image[0].numpy()))


def match_gray(
    image: Float32[Tensor, "c *own"], levels: Levels | None, target: GrayTarget
) -> Float32[Tensor, "c *own"]:
    """An image with the gray values of a target.

    Per channel, a line through the means of lung and tissue where both images show them; else the histogram.

    Args:
        image: in model space.
        levels: its means of lung and tissue; None where it does not show them.
        target: what is matched.
    """
    if levels is not None and target.levels is not None:
        matched = [_through(*each) for each in zip(image, levels, target.levels, target.voxels, strict=True)]
    else:
        matched = [_histogram(own, voxels) for own, voxels in zip(image, target.voxels, strict=True)]
    return torch.stack(matched)


def _through(
    own: Float32[Tensor, "*own"], levels: Float32[Tensor, "2"], wanted: Float32[Tensor, "2"], voxels: Tensor
) -> Float32[Tensor, "*own"]:
    lung, tissue = levels.tolist()
    slope = float(wanted[1] - wanted[0]) / (tissue - lung) if lung != tissue else math.nan
    if not _SLOPES[0] <= abs(slope) <= _SLOPES[1]:  # nor where one of the means is NaN
        return _histogram(own, voxels)
    moved: Float32[Tensor, "*own"] = (own - lung) * slope + float(wanted[0])
    return moved.clamp(-1, 1)


def _histogram(own: Float32[Tensor, "*own"], voxels: Float32[Tensor, "..."]) -> Float32[Tensor, "*own"]:
    matched = match_histograms(own.flatten().numpy(), voxels.flatten().numpy())
    return torch.from_numpy(np.asarray(matched, np.float32)).reshape(own.shape)
