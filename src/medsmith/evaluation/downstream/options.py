"""Settings of the utility experiment besides those of its networks."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from medsmith.cases.hounsfield import is_ct
from medsmith.evaluation.downstream.augmentation import StrongAugmentation

_SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])")
_MIRROR = 0.5


@final
class UtilityOptions(BaseModel):
    """What is trained and how it is measured.

    Attributes:
        cases: sizes of the real subsets, ascending; 0 are all real cases, in one subset. None: half of them.
        subsets: drawn of each size.
        seeds: networks of each arm and subset.
        shares: of synthetic cases in each batch of R + S.
        weight: of the loss of a synthetic case; that of a real one is 1.
        mirror: probability of mirroring left to right in every arm; None: one half, or 0 where a label names a side.
        group: regular expression that finds the patient in an id of a real case; None: each case is its own patient.
        scenes: "apart" leaves out test cases that show a scene of the training cases; "ignored" does not look for them.
        tolerance: of the surface Dice in mm, or in pixels where the files give no spacing.
        size: edge of the networks' grid, a multiple of 8 (vnet: 16); None: the smaller median image edge of real and
            synthetic cases, in volumes at most 64.
        gain: in points of Dice, for which the number of test patients is computed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cases: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    subsets: int = Field(default=5, ge=1, le=1000)
    seeds: int = Field(default=2, ge=1, le=1000)
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(default=(0.5,), min_length=1)
    weight: float = Field(default=1.0, gt=0, le=100)
    mirror: float | None = Field(default=None, ge=0, le=1)
    group: str | None = None
    scenes: Literal["apart", "ignored"] = "apart"
    tolerance: float = Field(default=2.0, gt=0)
    size: int | None = None
    gain: float = Field(default=2.0, gt=0, le=100)

    @field_validator("cases", "shares")
    @classmethod
    def _sorted(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return values and tuple(sorted(set(values), key=lambda value: (value == 0, value)))

    def mirror_of(self, label_names: Iterable[str]) -> float:
        """The probability of mirroring for these labels."""
        if self.mirror is not None:
            return self.mirror
        return 0.0 if any(_SIDES.search(name.casefold().replace("_", " ")) for name in label_names) else _MIRROR


def strong_augmentation(channel_names: Iterable[str], mirror: float) -> StrongAugmentation:
    """Strong augmentation that suits the channels.

    The gray values of CT are Hounsfield units: gamma, contrast and noise change them no more, and no more often, than
    in nnU-Net (Isensee et al. 2021, supplement), and nothing is added to them.

    Args:
        channel_names: of the images; one that is named CT makes them CT.
        mirror: probability of mirroring.
    """
    if any(map(is_ct, channel_names)):
        return StrongAugmentation(mirror=mirror, gray_share=0.15, gamma=0.35, contrast=0.22, brightness=0.0, noise=0.02)
    return StrongAugmentation(mirror=mirror)
