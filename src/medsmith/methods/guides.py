"""Guidance images in a request, for any method with image channels in its state; they need no training."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float32
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import ndimage
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, load_case
from medsmith.data.fingerprint import HIGH, HOUNSFIELD_AIR, LOW, Fingerprint
from medsmith.data.scaling import image_to_model, to_grid
from medsmith.diffusion import (
    Combination,
    Correction,
    DiffusionProcess,
    Filter,
    LowPassGuide,
    derive_seed,
    match_low_frequencies,
)
from medsmith.errors import RequestError

FEATHER = 0.02
"""Width of the soft edge of a region: standard deviation as a share of the longest axis."""


class GuideAction(BaseModel):
    """How a guidance image acts (ILVR, Choi et al. 2021; mDDPM, Algorithm 1). Base class of all guides of a request.

    Attributes:
        factor: n of the paper, a power of two up to 1024, in voxels: frequencies kept by downsampling by it are taken
            from the guidance image. 1 takes the whole image, a large one its coarse layout alone.
        relative_factor: the same as a share of the longest axis, so that a request means the same at every size; it is
            rounded to the nearest power of two. ``RELATIVE_FACTOR`` of the class where neither is
            given.
        until: share of the schedule, counted from the final image, in which the image does not act; 0 acts to the end.
        last_step: the same as a of the paper: the last of the steps T .. 1 at which it acts.
        filter: "projection" keeps the lowest cosine modes; "bicubic" downsamples and upsamples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    RELATIVE_FACTOR: ClassVar[float] = 1 / 8

    factor: int | None = Field(default=None, ge=1, le=1024, strict=True)
    relative_factor: float | None = Field(default=None, gt=0, le=1)
    until: float = Field(default=0.0, ge=0, lt=1)
    last_step: int | None = Field(default=None, ge=1, le=10_000, strict=True)
    filter: Filter = "projection"

    @model_validator(mode="after")
    def _consistent(self) -> "GuideAction":
        if self.factor is not None and self.factor & (self.factor - 1):
            raise ValueError(f"factor = {self.factor} is not a power of two")
        if self.factor is not None and self.relative_factor is not None:
            raise ValueError("factor and relative_factor say the same: give one of them")
        if self.until and self.last_step is not None:
            raise ValueError("until and last_step say the same: give one of them")
        return self

    def factor_at(self, size: Sequence[int]) -> int:
        """The factor in voxels on a grid: at least 1, at most the largest power of two that the longest axis holds."""
        if self.factor is not None:
            return self.factor
        share = self.RELATIVE_FACTOR if self.relative_factor is None else self.relative_factor
        return int(2 ** max(0, round(math.log2(share * max(size)))))

    def last_time(self, length: int) -> int:
        """The last time of the state at which it acts, for a schedule of a length; -1 is the final image."""
        return round(self.until * length) - 1 if self.last_step is None else self.last_step - 2

    def on(
        self,
        reference: Float32[Tensor, "c *space"],
        length: int,
        region: Float32[Tensor, "*space"] | None = None,
    ) -> LowPassGuide:
        """The guide with its image on the network's grid.

        Args:
            reference: the guidance image in model space.
            length: of the schedule.
            region: share of its effect at each voxel; None acts everywhere.
        """
        return LowPassGuide(
            reference[None],
            self.factor_at(reference.shape[1:]),
            self.last_time(length),
            self.filter,
            None if region is None else region[None, None],
        )


@final
class Guide(GuideAction):
    """A case whose image guides.

    Attributes:
        image: the case; a cohort alone lets the seed choose a case.
        region: a case whose labels say where the guide acts, with a soft edge; None acts everywhere.
        region_labels: names of these labels; empty takes all above background.
    """

    image: CaseRef
    region: CaseRef | None = None
    region_labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _region_is_named(self) -> "Guide":
        if self.region_labels and self.region is None:
            raise ValueError("region_labels without region: name the case that has them")
        return self


class GuidedRequest(BaseModel):
    """A request for one case that guidance images may steer. Base class of the requests of methods that allow it.

    Attributes:
        guides: guidance images, which act on the image channels of the state.
        combination: how several guides act together: "sum" (mDDPM, Algorithm 1), "mean", "sequential" or "band_split".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    guides: tuple[Guide, ...] = ()
    combination: Combination = "sum"


def guide_corrections(
    request: GuidedRequest, process: DiffusionProcess, facts: Fingerprint, size: tuple[int, ...], seed: int
) -> tuple[Correction, ...]:
    """The correction of the image channels by the guides of a request; empty without guides.

    Args:
        request: the request.
        process: the diffusion process of the image.
        facts: of the training cohort.
        size: grid of the network.
        seed: of the case; chooses a case where a guide names a cohort alone.

    Raises:
        RequestError: dimensions or channels of a guide differ from those of the training cohort, or its region has no
            such label.
        MedsmithError: a guide cannot be read.
    """
    found = low_pass_guides(request.guides, len(process.schedule), facts, size, seed)
    return (match_low_frequencies(process.schedule, *found, combination=request.combination),) if found else ()


def low_pass_guides(
    guides: Sequence[Guide], length: int, facts: Fingerprint, size: tuple[int, ...], seed: int
) -> list[LowPassGuide]:
    """The guides of a request with their images on the network's grid; as ``guide_corrections``."""
    found = []
    for number, guide in enumerate(guides):
        index = derive_seed(seed, "guide", number)
        case = load_guide(guide.image, index, facts)
        region = None if guide.region is None else _region(guide, guide.region, index, size)
        found.append(guide.on(image_to_model(case, facts, size), length, region))
    return found


def load_guide(ref: CaseRef, index: int, facts: Fingerprint) -> Case:
    """A case that can guide a method: it has an image, with the dimensions and channels of the training cohort.

    Args:
        ref: the case, or a cohort.
        index: chooses the case where the reference names a cohort alone.
        facts: of the training cohort.

    Raises:
        RequestError: the case does not fit, or its gray values are on another scale.
        MedsmithError: it cannot be read.
    """
    case = load_case(ref, index)
    if case.image is None:
        raise RequestError("guides", f"case '{case.id}' of {ref.cohort} has no image", "a guide is an image")
    found = (case.geometry.dimensions, case.channel_names)
    needed = (facts.dimensions, facts.channel_names)
    if found != needed:
        there, limit = (f"{count}-D with channels {', '.join(names)}" for count, names in (found, needed))
        raise RequestError("guides", f"case '{case.id}' of {ref.cohort} is {there}", f"trained on {limit}")
    lowest, highest = np.percentile(case.image, (LOW, HIGH))
    check_gray_scale((float(lowest), float(highest)), facts, f"case '{case.id}' of {ref.cohort}")
    return case


def check_gray_scale(found: tuple[float, float], facts: Fingerprint, what: str) -> None:
    """Check that gray values can be on the scale of the training cohort, where all its cases share one.

    Args:
        found: low and high gray value.
        facts: of the training cohort.
        what: their source, for the message.

    Raises:
        RequestError: they lie far outside the training images' range, or have no air where those are in HU.
    """
    if not facts.absolute:
        return
    low, high = min(low for low, _ in facts.full_range), max(high for _, high in facts.full_range)
    margin = (high - low) / 2
    without_air = low < HOUNSFIELD_AIR and found[0] >= 0
    if without_air or found[0] < low - margin or found[1] > high + margin:
        fact = f"{what} has gray values from {found[0]:g} to {found[1]:g}"
        raise RequestError("guides", fact, f"trained on {low:g} to {high:g}", "bring it to the same scale")


def soft_region(inside: Bool[np.ndarray, "x y z"], size: tuple[int, ...]) -> Float32[Tensor, "*space"]:
    """A mask on the network's grid with a soft edge outside it: 1 inside, 0 beyond about two feather widths.

    Args:
        inside: the mask, one voxel deep in z where the grid is 2-D.
        size: grid of the network.
    """
    mask = torch.from_numpy(inside.astype(np.float32))
    share = to_grid((mask[..., 0] if len(size) == 2 else mask)[None], size)[0].numpy()
    blurred = ndimage.gaussian_filter(share, FEATHER * max(size))
    # A straight edge has the value 1/2 after blurring: twice that is 1 inside and fades outside.
    return torch.from_numpy(np.maximum(share, np.clip(2 * blurred, 0, 1)).astype(np.float32))


def _region(guide: Guide, ref: CaseRef, index: int, size: tuple[int, ...]) -> Float32[Tensor, "*space"]:
    case = load_case(ref, index)
    labels = case.require_labels()
    names: Mapping[str, int] = case.label_names
    unknown = [name for name in guide.region_labels if name not in names]
    if unknown:
        raise RequestError("guides", f"{ref.cohort} has no label '{unknown[0]}'", f"has {', '.join(names)}")
    if case.geometry.dimensions != len(size):
        fact = f"region '{case.id}' of {ref.cohort} is {case.geometry.dimensions}-D"
        raise RequestError("guides", fact, f"trained on {len(size)}-D")
    chosen = [names[name] for name in guide.region_labels]
    return soft_region(np.isin(labels, chosen) if chosen else labels > 0, size)
