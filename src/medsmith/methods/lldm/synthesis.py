"""Synthesis by 3D-LLDM: a label map is drawn or given, encoded, and followed by an image."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.label_facts import LabelFacts
from medsmith.data.scaling import to_grid
from medsmith.diffusion import Correction, Observe, Predict, Sampling, derive_seed, match_low_frequencies
from medsmith.errors import RequestError
from medsmith.methods.base import assemble
from medsmith.methods.given_labels import given_map, record_of
from medsmith.methods.guides import low_pass_guides
from medsmith.methods.label_maps import (
    DrawnMap,
    Extent,
    Map,
    deform_map,
    draw_legal,
    masks_of_indices,
    over_given,
    with_extent,
)
from medsmith.methods.lldm.controls import control_weights
from medsmith.methods.lldm.extent import requested_extent
from medsmith.methods.lldm.label_source import training_map
from medsmith.methods.lldm.request import LldmRequest
from medsmith.networks.labels import most_likely
from medsmith.networks.latent import on_latent_grid
from medsmith.networks.tiling import decode_in_tiles

if TYPE_CHECKING:
    from medsmith.methods.lldm import Lldm


def synthesize(method: "Lldm", request: LldmRequest, seed: int, sampling: Sampling, observe: Observe | None) -> Case:
    """One case on the median grid of the training cohort; see ``Lldm.synthesize``."""
    _check_parts(method, request)
    with torch.no_grad():
        extent = requested_extent(request, method.config, method.fingerprint, method.memory)
        drawn = _label_map(method, request, extent, derive_seed(seed, "labels")) if method.has_labels else None
        if drawn is not None and drawn.extent is not None and request.extent_mm is None:
            extent = drawn.extent
        image = _image(method, request, drawn, extent, seed, sampling, observe) if method.has_images else None
    masks = None if drawn is None else masks_of_indices(drawn.labels, method.classes - 1)
    grid = method.fingerprint.shape[: method.fingerprint.dimensions]
    if image is not None:
        image = to_grid(image, grid)
    facts = with_extent(method.fingerprint, extent)
    case = assemble(image, None if masks is None else _resampled(masks, grid), facts)
    if drawn is None:
        return case
    case = case if request.extent_mm else over_given(case, drawn)
    return replace(case, provenance=record_of(drawn, request, method.fingerprint))


def _check_parts(method: "Lldm", request: LldmRequest) -> None:
    """Refuses what would act on networks that the run does not have; a plan of synthesis spells out all defaults."""
    default = LldmRequest()
    asked = {field for field in LldmRequest.model_fields if getattr(request, field) != getattr(default, field)}
    if not method.has_labels:
        for field in ("labels", "maps", "augment_labels", "control", "guidance"):
            if field in asked:
                raise RequestError(field, "acts on label maps", "this run was trained on images alone", "leave it out")
    if not method.has_images:
        for field in ("labels", "guides", "control", "guidance"):
            if field in asked:
                raise RequestError(field, "acts on images", "this run was trained on label maps alone", "leave it out")


def _label_map(method: "Lldm", request: LldmRequest, extent: Extent, seed: int) -> DrawnMap:
    facts = LabelFacts.from_memory(method.memory)
    if request.labels is not None:
        return given_map(request, method.fingerprint, method.config.size, facts, seed)
    config = request.augment_labels or method.config.deformation
    if request.augment_labels is None and (request.maps or method.config.maps) == "generated":
        gallery = method.map_gallery
        compared = None if gallery is None else gallery.compared
        return draw_legal(
            lambda each: DrawnMap(_generated_map(method, extent, each)), facts, seed, request.draws, compared
        )

    def draw(each: int) -> DrawnMap:
        chosen = training_map(method.memory, method.fingerprint, method.config, each)
        return deform_map(chosen, method.fingerprint, config, derive_seed(each, "deformation"))

    return draw_legal(draw, facts, seed, request.draws)


def _generated_map(method: "Lldm", extent: Extent, seed: int) -> Map:
    """Equation 7: a label latent from noise, decoded."""
    space = method.label_autoencoder
    state = method.process.sample_one(
        method.process.denoiser(method.labels_from(extent[None])),
        (space.channels, *(edge // space.factor for edge in method.config.size)),
        seed,
        method.config.label_sampling,
        device=method.device,
    )
    labels: UInt8[np.ndarray, "*space"] = most_likely(decode_in_tiles(space, state[None]))[0].to(torch.uint8).numpy()
    return labels


def _image(
    method: "Lldm",
    request: LldmRequest,
    drawn: DrawnMap | None,
    extent: Extent,
    seed: int,
    sampling: Sampling,
    observe: Observe | None,
) -> Float32[Tensor, "c *space"]:
    """Equation 8: an image latent from noise that follows the map, decoded."""
    space, size = method.image_space, method.config.size
    plain = method.image_from(extent[None])
    conditions: tuple[tuple[Predict, float], ...] = ()
    if drawn is not None:
        weights = control_weights(request.control, method.config)
        seen = method.conditions(torch.from_numpy(drawn.labels)[None], weights)
        conditions = ((method.controlled(seen, extent[None]), request.guidance),)
    state = method.process.sample_one(
        method.process.denoiser(plain, *conditions),
        (space.channels, *(edge // space.factor for edge in size)),
        derive_seed(seed, "image"),
        sampling,
        device=method.device,
        corrections=_guides(method, request, seed, sampling),
        observe=observe,
    )
    return decode_in_tiles(space, state[None])[0].clamp(-1, 1)


def _guides(method: "Lldm", request: LldmRequest, seed: int, sampling: Sampling) -> tuple[Correction, ...]:
    """The guides of a request in the latent space of images; their factors in latents."""
    space, schedule = method.image_space, method.process.schedule
    size = method.config.size
    found = low_pass_guides(request.guides, len(schedule), method.fingerprint, size, seed, sampling)
    inside = [
        replace(
            guide,
            reference=space.encode(guide.reference.to(method.device)).cpu(),
            factor=latent_factor(guide.factor, space.factor),
            region=None if guide.region is None else on_latent_grid(guide.region, space.factor),
        )
        for _, guide in found
    ]
    return (match_low_frequencies(schedule, *inside, combination=request.combination),) if inside else ()


def latent_factor(factor: int, latent: int) -> int:
    """A guide's factor in latents, rounded up; only a factor of 1, which takes the whole image, stays 1."""
    return 1 if factor == 1 else max(2, -(-factor // latent))


def _resampled(masks: Float32[Tensor, "m *space"], grid: tuple[int, ...]) -> Float32[Tensor, "m *grid"]:
    """Masks on another grid; each voxel has the class with the largest share under the filter."""
    background = -masks.amax(0, keepdim=True)
    winner = to_grid(torch.cat([background, masks]), grid).argmax(0)
    return torch.stack([(winner == index).float() * 2 - 1 for index in range(1, len(masks) + 1)])
