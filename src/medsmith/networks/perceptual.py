"""Perceptual distance of planes by VGG-16 (Johnson et al. 2016), for the loss of an autoencoder.

No weights are shipped: set the environment variable MEDSMITH_VGG16 to a safetensors file with torchvision's names
(``features.0.weight``, ...), such as a copy of its ImageNet weights. Without it the term is left out. The network of
the Fréchet distance would do as well, but a loss on it would train for the measure.
"""

import os
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from medsmith.errors import FileError

VARIABLE = "MEDSMITH_VGG16"
_LEVELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colors, from 0 to 1."""


@final
class PerceptualDistance(nn.Module):
    """Mean squared difference of activations normalized over channels, summed over the five levels of VGG-16.

    As LPIPS (Zhang et al. 2018) with equal weights of channels: the published ones are not at hand. Each channel of an
    image is seen as a gray picture. Levels that a small plane has no pixel left for are left out.

    Args:
        weights: of VGG-16, by torchvision's names.

    Raises:
        KeyError: a weight is missing.
        RuntimeError: one has another shape.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = [3, *(width for level in _LEVELS for width in level)]
        shapes = iter(pairwise(widths))
        self.taps = []
        for number, level in enumerate(_LEVELS):
            layers += [nn.MaxPool2d(2)] if number else []
            for _ in level:
                layers += [nn.Conv2d(*next(shapes), 3, padding=1), nn.ReLU()]
            self.taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        self.features.load_state_dict({name: weights[f"features.{name}"] for name in self.features.state_dict()})
        self.requires_grad_(False).eval()

    def forward(self, one: Float[Tensor, "b c u v"], other: Float[Tensor, "b c u v"]) -> Float[Tensor, ""]:
        """The distance of two batches of planes in model space; its gradient reaches the planes alone."""
        x, y = self._pictures(one), self._pictures(other)
        total = one.new_zeros(())
        for number, layer in enumerate(self.features):
            if isinstance(layer, nn.MaxPool2d) and min(x.shape[2:]) < 2:
                break
            x, y = layer(x), layer(y)
            if number in self.taps:
                total = total + (normalize(x) - normalize(y)).square().sum(dim=1).mean()
        return total

    def _pictures(self, planes: Float[Tensor, "b c u v"]) -> Float[Tensor, "n 3 u v"]:
        gray = (planes.float().flatten(0, 1)[:, None] + 1) / 2
        mean, deviation = (gray.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
        return (gray - mean) / deviation


@cache
def perceptual_distance(device: torch.device) -> PerceptualDistance | None:
    """The distance on a device, or None where MEDSMITH_VGG16 is not set.

    Raises:
        FileError: the variable names no file, or one without the weights of VGG-16.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    if not Path(named).is_file():
        raise FileError(named, f"is no file, but {VARIABLE} names it", cure="correct or unset the variable")
    try:
        return PerceptualDistance(load_file(named)).to(device)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        found = f"has not the weights of VGG-16 ({str(error).splitlines()[0]})"
        raise FileError(named, found, "torchvision's names, features.0.weight and on", "correct the variable") from None
