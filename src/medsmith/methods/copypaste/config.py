"""Settings of copy-paste."""

import re
from typing import final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from medsmith.diffusion import Sampling
from medsmith.methods.config import TrainingConfig


@final
class CopyPasteConfig(BaseModel):
    """Settings of copy-paste, which has no network: what a run keeps of its cohort.

    Attributes:
        structures: names of the labels that are pasted; () takes those whose names are of lesions, or the only label.
            Voxels of these labels that touch are one structure.
        group: regular expression searched in each id, as in ``medsmith split``: its first group, or the whole match,
            names the patient. None makes each case a patient of its own.
        least_voxels: smallest number of voxels of a structure.
        margin: surroundings that are kept of a structure, in shortest edges of a voxel.
        kept_templates: largest number of whole images that a run keeps to paste into, evenly chosen, 256 MiB at most;
            0 keeps none, so that every request names templates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    structures: tuple[str, ...] = ()
    group: str | None = None
    least_voxels: int = Field(default=8, ge=1, le=10**9)
    margin: int = Field(default=12, ge=1, le=100)
    kept_templates: int = Field(default=10_000, ge=0, le=10**7)

    @field_validator("group")
    @classmethod
    def _is_expression(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"{group!r} is no regular expression ({error})") from None
        return group

    @property
    def size(self) -> tuple[int, ...]:
        """No grid of its own: cases have that of their template."""
        return ()

    @property
    def training(self) -> TrainingConfig:
        """One pass over the cohort, without steps."""
        return TrainingConfig(steps=1, batch=1, flips=())

    @property
    def sampling(self) -> Sampling:
        """Nothing is sampled."""
        return Sampling(solver="ddim", steps=1)
