"""Guidance images in a request, for any method with image channels in its state; they need no training."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float32
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import ndimage
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, load_case, load_cases
from medsmith.data.fingerprint import HIGH, LOW, Fingerprint
from medsmith.data.scaling import image_to_model, to_grid
from medsmith.diffusion import (
    Combination,
    Correction,
    DiffusionProcess,
    Filter,
    LowPassGuide,
    Sampling,
    derive_seed,
    match_low_frequencies,
    times,
)
from medsmith.errors import RequestError, similar
from medsmith.methods.fit import check_gray_scale, check_orientation, of_same_extent

FEATHER = 0.02
"""Width of the soft edge of a region: standard deviation as a share of the longest axis."""


class GuideAction(BaseModel):
    """How a guidance image acts (ILVR, Choi et al. 2021; mDDPM, Algorithm 1). Base class of all guides of a request.

    Attributes:
        factor: n of the paper in voxels, up to 1024: frequencies kept by downsampling by it are taken from the guidance
            image. 1 takes the whole image, a large one its coarse layout alone.
        relative_factor: the same as a share of the longest axis, so that a request means the same at every size.
            ``RELATIVE_FACTOR`` of the class where neither is given.
        until: share of the schedule, counted from the final image, in which the image does not act; 0 acts to the end.
        last_step: the same as a of the paper: the last of the steps T .. 1 at which it acts. ``UNTIL`` of the class
            where neither is given.
        filter: "projection" keeps the lowest cosine modes; "bicubic" downsamples and upsamples, and takes powers of
            two alone.
        region: a case whose labels say where the guide acts, with a soft edge; None acts everywhere.
        region_labels: names of these labels; empty takes all above background.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    RELATIVE_FACTOR: ClassVar[float] = 1 / 8
    UNTIL: ClassVar[float] = 0.0

    factor: int | None = Field(default=None, ge=1, le=1024, strict=True)
    relative_factor: float | None = Field(default=None, gt=0, le=1)
    until: float | None = Field(default=None, ge=0, lt=1)
    last_step: int | None = Field(default=None, ge=1, le=10_000, strict=True)
    filter: Filter = "projection"
    region: CaseRef | None = None
    region_labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "GuideAction":
        if self.filter == "bicubic" and self.factor is not None and self.factor & (self.factor - 1):
            raise ValueError(f"factor = {self.factor} is not a power of two, which bicubic needs")
        if self.factor is not None and self.relative_factor is not None:
            raise ValueError("factor and relative_factor say the same: give one of them")
        if self.until is not None and self.last_step is not None:
            raise ValueError("until and last_step say the same: give one of them")
        if self.region_labels and self.region is None:
            raise ValueError("region_labels without region: name the case that has them")
        return self

    def factor_at(self, size: Sequence[int]) -> int:
        """The factor in voxels on a grid; a relative one is rounded, for "bicubic" to a power of two."""
        if self.factor is not None:
            return self.factor
        exact = (self.RELATIVE_FACTOR if self.relative_factor is None else self.relative_factor) * max(size)
        if self.filter == "bicubic":
            return int(2 ** max(0, round(math.log2(exact))))
        return max(1, round(exact))

    def last_time(self, length: int) -> int:
        """The last time of the state at which it acts, for a schedule of a length; -1 is the final image."""
        if self.last_step is not None:
            return self.last_step - 2
        return round((self.UNTIL if self.until is None else self.until) * length) - 1

    def check(self, key: str, size: Sequence[int], length: int, sampling: Sampling) -> None:
        """Check that the guide can act.

        Args:
            key: of the guide in the request, for messages.
            size: grid of the network.
            length: of the schedule.
            sampling: solver and steps.

        Raises:
            RequestError: its factor is larger than the grid, or no step of the sampling lies where it acts.
        """
        if self.factor is not None and self.factor > max(size):
            grid = " x ".join(map(str, size))
            raise RequestError(key, f"factor = {self.factor} on a grid of {grid}", f"at most {max(size)}", "lower it")
        reached = [*times(length, sampling.steps)[1:], -1]
        if max(reached) < self.last_time(length):
            fact = f"it acts at no step: its last is before the first of {sampling.steps}"
            raise RequestError(key, fact, "a guide acts at least once", "lower until or last_step, or raise the steps")

    def on(
        self,
        reference: Float32[Tensor, "c *space"],
        length: int,
        noise_seed: int,
        region: Float32[Tensor, "*space"] | None = None,
    ) -> LowPassGuide:
        """The guide with its image on the network's grid.

        Args:
            reference: the guidance image in model space.
            length: of the schedule.
            noise_seed: of its noise.
            region: share of its effect at each voxel; None acts everywhere.
        """
        return LowPassGuide(
            reference[None],
            self.factor_at(reference.shape[1:]),
            self.last_time(length),
            self.filter,
            None if region is None else region[None, None],
            noise_seed,
        )

    def region_on(
        self, facts: Fingerprint, size: tuple[int, ...], index: int, key: str
    ) -> Float32[Tensor, "*space"] | None:
        """Where the guide acts, on the network's grid; None everywhere.

        Args:
            facts: of the training cohort.
            size: the grid.
            index: chooses the case where the region names a cohort alone; one without such a voxel, or of another field
                of view, is passed over.
            key: of the guide in the request, for messages.

        Raises:
            RequestError: the region has no such label, no voxel of it, other dimensions, another field of view or no
                known orientation.
            MedsmithError: it cannot be read.
        """
        if self.region is None:
            return None
        cases = (case for case in load_cases(self.region, index, "labels") if self._inside(case, facts, key).any())
        for first in cases:
            case = of_same_extent(chain((first,), cases), facts, f"{key}.region", self.region.cohort)
            return soft_region(self._inside(case, facts, key), size)
        cohort, named = self.region.cohort, self.region.case
        who = f"no case of {cohort} has a" if named is None else f"case '{named}' of {cohort} has no"
        what = " or ".join(f"'{name}'" for name in self.region_labels) or "any label"
        raise RequestError(f"{key}.region", f"{who} voxel of {what}", "a guide acts somewhere", "name another case")

    def _inside(self, case: Case, facts: Fingerprint, key: str) -> Bool[np.ndarray, "x y z"]:
        """The voxels of a case in which the guide acts."""
        assert self.region is not None
        unknown = [name for name in self.region_labels if name not in case.label_names]
        if unknown:
            fact = f"{self.region.cohort} has no label '{unknown[0]}'"
            limit, cure = f"has {', '.join(case.label_names)}", similar(unknown[0], case.label_names)
            raise RequestError(f"{key}.region_labels", fact, limit, cure)
        what = f"case '{case.id}' of {self.region.cohort}"
        if case.geometry.dimensions != facts.dimensions:
            fact = f"{what} is {case.geometry.dimensions}-D"
            raise RequestError(f"{key}.region", fact, f"trained on {facts.dimensions}-D")
        check_orientation(case.geometry.spacing_known, facts, f"{key}.region", what)
        labels, chosen = case.require_labels(), [case.label_names[name] for name in self.region_labels]
        return np.isin(labels, chosen) if chosen else labels > 0


@final
class Guide(GuideAction):
    """A case whose image guides.

    Attributes:
        image: the case; a cohort alone lets the seed choose a case.
    """

    image: CaseRef


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
    request: GuidedRequest,
    process: DiffusionProcess,
    facts: Fingerprint,
    size: tuple[int, ...],
    seed: int,
    sampling: Sampling,
) -> tuple[Correction, ...]:
    """The correction of the image channels by the guides of a request; empty without guides.

    Args:
        request: the request.
        process: the diffusion process of the image.
        facts: of the training cohort.
        size: grid of the network.
        seed: of the case; chooses a case where a guide names a cohort alone.
        sampling: solver and steps.

    Raises:
        RequestError: dimensions, channels or gray scale of a guide differ from those of the training cohort, its region
            has no such label, or it cannot act.
        MedsmithError: a guide cannot be read.
    """
    found = low_pass_guides(request.guides, len(process.schedule), facts, size, seed, sampling)
    guides = [guide for _, guide in found]
    return (match_low_frequencies(process.schedule, *guides, combination=request.combination),) if guides else ()


def low_pass_guides(
    guides: Sequence[Guide], length: int, facts: Fingerprint, size: tuple[int, ...], seed: int, sampling: Sampling
) -> list[tuple[str, LowPassGuide]]:
    """Id of the case and guide, on the network's grid, for each guide of a request; as ``guide_corrections``."""
    found = []
    for number, guide in enumerate(guides):
        key, index = f"guides.{number}", derive_seed(seed, "guide", number)
        guide.check(key, size, length, sampling)
        case = load_guide(guide.image, index, facts, f"{key}.image")
        region = guide.region_on(facts, size, index, key)
        image = image_to_model(case, facts, size)
        found.append((case.id, guide.on(image, length, derive_seed(seed, "noise", key), region)))
    return found


def load_guide(ref: CaseRef, index: int, facts: Fingerprint, key: str) -> Case:
    """A case that can guide a method: it has an image, with the dimensions and channels of the training cohort.

    Args:
        ref: the case, or a cohort.
        index: chooses the case where the reference names a cohort alone; one of another field of view is passed over.
        facts: of the training cohort.
        key: of the reference in the request, for messages.

    Raises:
        RequestError: the case does not fit, its gray values are on another scale, its field of view is another, or one
            of case and training cohort is a picture without orientation.
        MedsmithError: it cannot be read.
    """
    return _fitting(of_same_extent(load_cases(ref, index, "image"), facts, key, ref.cohort), ref, facts, key)


def load_lesion_case(ref: CaseRef, index: int, facts: Fingerprint, key: str) -> Case:
    """As ``load_guide``, with labels and of any field of view: a lesion keeps its size in mm."""
    return _fitting(load_case(ref, index, "image", "labels"), ref, facts, key)


def _fitting(case: Case, ref: CaseRef, facts: Fingerprint, key: str) -> Case:
    found = (case.geometry.dimensions, case.channel_names)
    needed = (facts.dimensions, facts.channel_names)
    if found != needed:
        there, limit = (f"{count}-D with channels {', '.join(names)}" for count, names in (found, needed))
        raise RequestError(key, f"case '{case.id}' of {ref.cohort} is {there}", f"trained on {limit}")
    what = f"case '{case.id}' of {ref.cohort}"
    check_orientation(case.geometry.spacing_known, facts, key, what)
    lowest, highest = np.percentile(case.require_image(), (LOW, HIGH))
    check_gray_scale((float(lowest), float(highest)), facts, key, what)
    return case


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
