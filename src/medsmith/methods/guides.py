"""Guidance images in a request, for any method with image channels in its state; they need no training."""

from collections.abc import Sequence
from typing import Literal, final

from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from medsmith.cases.case_ref import CaseRef, load_case
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.diffusion import Correction, DiffusionProcess, LowPassGuide, derive_seed, match_low_frequencies
from medsmith.errors import RequestError


@final
class Guide(BaseModel):
    """One guidance image and how it acts (ILVR, Choi et al. 2021; mDDPM, Algorithm 1).

    Attributes:
        image: the case whose image guides; a cohort alone lets the seed choose a case.
        factor: power of two; frequencies kept by downsampling by it are taken from the image: 1 takes the whole image,
            a large one its coarse layout alone; at most 1024.
        until: share of the schedule, counted from the final image, in which it does not act; 0 acts to the end.
        filter: "projection" keeps the lowest cosine modes; "bicubic" downsamples and upsamples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image: CaseRef
    factor: int = Field(default=8, ge=1, le=1024, strict=True)
    until: float = Field(default=0.0, ge=0, lt=1)
    filter: Literal["projection", "bicubic"] = "projection"

    @model_validator(mode="after")
    def _power_of_two(self) -> "Guide":
        if self.factor & (self.factor - 1):
            raise ValueError(f"factor = {self.factor} is not a power of two")
        return self


def guide_corrections(
    guides: Sequence[Guide], process: DiffusionProcess, facts: Fingerprint, size: tuple[int, ...], seed: int
) -> tuple[Correction, ...]:
    """The correction of the image channels by the guides of a request; empty without guides.

    Args:
        guides: of the request.
        process: the diffusion process of the image.
        facts: of the training cohort.
        size: grid of the network.
        seed: of the case; chooses a case where a guide names a cohort alone.

    Raises:
        RequestError: dimensions or channels of a guide differ from those of the training cohort.
        MedsmithError: a guide cannot be read.
    """
    if not guides:
        return ()
    length = len(process.schedule)
    found = [
        LowPassGuide(
            _reference(guide, facts, size, derive_seed(seed, "guide", number))[None],
            guide.factor,
            round(guide.until * length) - 1,
            guide.filter,
        )
        for number, guide in enumerate(guides)
    ]
    return (match_low_frequencies(process.schedule, *found),)


def _reference(guide: Guide, facts: Fingerprint, size: tuple[int, ...], index: int) -> Float32[Tensor, "c *space"]:
    case = load_case(guide.image, index)
    if case.image is None:
        raise RequestError("guides", f"case '{case.id}' of {guide.image.cohort} has no image", "a guide is an image")
    found = (case.geometry.dimensions, case.channel_names)
    needed = (facts.dimensions, facts.channel_names)
    if found != needed:
        there, limit = (f"{count}-D with channels {', '.join(names)}" for count, names in (found, needed))
        raise RequestError("guides", f"case '{case.id}' of {guide.image.cohort} is {there}", f"trained on {limit}")
    return image_to_model(case, facts, size)
