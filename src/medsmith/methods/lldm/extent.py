"""The field of view of a case that is made: the median one, that of a given case, or a requested one."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float32
from torch import Tensor

from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import RequestError
from medsmith.methods.lldm.config import LldmConfig
from medsmith.methods.lldm.request import LldmRequest

_BEYOND = math.log(1.1)
"""How far a field of view may lie outside the range of training."""


def requested_extent(
    request: LldmRequest, config: LldmConfig, facts: Fingerprint, memory: Mapping[str, Tensor]
) -> Float32[Tensor, "axes"]:
    """Logarithm of the requested field of view over the median one along each axis; 0 where none is requested.

    Args:
        request: with or without one.
        config: of the method.
        facts: of the training cohort.
        memory: of the method.

    Raises:
        RequestError: the networks do not know fields of view, or saw none like it.
    """
    wanted = request.extent_mm
    if wanted is None:
        return torch.zeros(facts.dimensions)
    if config.extent_condition == "none":
        cure = "leave it out, or train with --set extent_condition=spacing"
        raise RequestError("extent_mm", "this run was trained without fields of view", cure=cure)
    if not facts.spacing_known or len(wanted) != facts.dimensions:
        found = f"{len(wanted)} edges" if facts.spacing_known else "the training images have no spacing"
        raise RequestError("extent_mm", found, f"one edge in mm for each of {facts.dimensions} axes", "leave it out")
    ours = [edge * mm for edge, mm in zip(facts.shape, facts.spacing, strict=True)][: facts.dimensions]
    extent = torch.tensor([math.log(edge) - math.log(own) for edge, own in zip(wanted, ours, strict=True)])
    low, high = memory["extents"].cpu() if "extents" in memory else (extent, extent)
    if ((extent < low - _BEYOND) | (extent > high + _BEYOND)).any():
        seen = " x ".join(
            f"{own * math.exp(least):.0f} to {own * math.exp(most):.0f}"
            for own, least, most in zip(ours, low.tolist(), high.tolist(), strict=True)
        )
        found = f"{' x '.join(f'{edge:g}' for edge in wanted)} mm"
        raise RequestError("extent_mm", found, f"trained on {seen} mm", "choose one in this range")
    return extent
