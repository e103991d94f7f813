"""What can be asked of LesionDiffusion."""

from typing import Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.cases.case_ref import CaseRef
from medsmith.insertion.organ_sources import OrganSource
from medsmith.reports.rules import find_type
from medsmith.reports.schema import MAX_LESIONS, LesionReport


@final
class LesionDiffusionRequest(BaseModel):
    """One scan with one to three lesions.

    Attributes:
        templates: the scan that lesions are put into, or a cohort of scans that the seed draws one from; None takes a
            small piece of the training cohort.
        lesions: report of each lesion; none draws a report of ``lesion_type``.
        without: of each lesion, options that it shall not have.
        lesion_type: kind of lesion that reports are drawn for; None draws one whose organ the template has.
        organ_map: who says where organs are: the labels of the "template", a run of "totalsegmentator", a "coarse" map
            by density, or a label map in TotalSegmentator's numbers (or a folder with one per template, by its id).
        organ_numbers: TotalSegmentator's class map that such a file follows, if it does not name its labels.
        mask_source: "lmnet", or "ellipsoid": a deformed ellipsoid that no word shapes (the baseline).
        words: "ignored" gives both networks null texts (the ablation).
        mask_guidance: of LMNet; None takes the method's.
        paint_guidance: of LINet; None takes the method's.
        draws: of one lesion at most, until it is measured as it was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    templates: CaseRef | None = None
    lesions: tuple[LesionReport, ...] = Field(default=(), max_length=MAX_LESIONS)
    without: tuple[tuple[str, ...], ...] = ()
    lesion_type: str | None = None
    organ_map: OrganSource = "template"
    organ_numbers: Literal["v1", "v2"] = "v2"
    mask_source: Literal["lmnet", "ellipsoid"] = "lmnet"
    words: Literal["used", "ignored"] = "used"
    mask_guidance: float | None = Field(default=None, ge=0)
    paint_guidance: float | None = Field(default=None, ge=0)
    draws: int = Field(default=3, ge=1, le=50)

    @model_validator(mode="after")
    def _fits_together(self) -> "LesionDiffusionRequest":
        if self.lesions and self.lesion_type:
            raise ValueError("lesions and lesion_type: give one of them")
        if self.lesion_type is not None:
            find_type(self.lesion_type)
        return self
