"""The request of LesionDiffusion."""

from typing import Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.cases.case_ref import CaseRef, InputPath
from medsmith.insertion.organ_sources import OrganSource
from medsmith.reports.rules import find_type
from medsmith.reports.schema import MAX_LESIONS, LesionReport


@final
class LesionDiffusionRequest(BaseModel):
    """One scan with one to three lesions.

    Attributes:
        templates: the scan that lesions are inserted into, or a cohort from which the seed selects one; None takes a
            cube of the template bank.
        lesions: report of each lesion; if empty and without ``reports``, one report of ``lesion_type`` is sampled.
        reports: several reports, one for each case: a .jsonl file, a .json file with a list, or a folder of .json files
            (``reports.collection``). Case i gets report i, beginning again after the last.
        without: for each lesion, options that are excluded.
        remarks: what the words of a text became where ``lesions`` do not hold them as said: approximations, and words
            set aside. For the record, not written where there are none; they change nothing in a case.
        lesion_type: type of the sampled report; None samples a type that the method was trained
            on, as far as the labels of the training cohort tell, and whose organ the template has.
        organ_map: source of the organs: the labels of the "template", a run of "totalsegmentator", a "coarse" map by
            density, or a label map with TotalSegmentator's values (or a folder with one per template id).
        organ_numbers: TotalSegmentator's class map of such a file, if it has no table of names.
        mask_source: "lmnet", or "ellipsoid": a deformed ellipsoid regardless of the report (the baseline).
        words: "ignored" conditions both networks on null texts (the ablation).
        mask_guidance: of LMNet; None takes the method's.
        paint_guidance: of LINet; None takes the method's.
        label_as: label of the inserted lesions; None takes "lesion", or "synthetic_lesion" where templates that are
            real have labels of lesions.
        attempts: most attempts at one lesion, until its measures match the request.
        keep_missed: whether lesions that miss a requested attribute after all attempts are delivered, marked as such;
            else the case is made anew at another place, and given up after ``Limits.missed_attempts``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    templates: CaseRef | None = None
    lesions: tuple[LesionReport, ...] = Field(default=(), max_length=MAX_LESIONS)
    reports: InputPath | None = None
    without: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = Field(default=(), exclude_if=lambda remarks: not remarks)
    lesion_type: str | None = None
    organ_map: OrganSource = "template"
    organ_numbers: Literal["v1", "v2"] = "v2"
    mask_source: Literal["lmnet", "ellipsoid"] = "lmnet"
    words: Literal["used", "ignored"] = "used"
    mask_guidance: float | None = Field(default=None, ge=0)
    paint_guidance: float | None = Field(default=None, ge=0)
    label_as: str | None = Field(default=None, min_length=1, max_length=64)
    attempts: int = Field(default=3, ge=1, le=50)
    keep_missed: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> "LesionDiffusionRequest":
        given = {"lesions": self.lesions, "reports": self.reports, "lesion_type": self.lesion_type}
        named = [name for name, value in given.items() if value]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)}: give one of them")
        if self.lesion_type is not None:
            find_type(self.lesion_type)
        return self

    def denied(self, number: int) -> tuple[str, ...]:
        """The options that lesion ``number`` must not have, from 0."""
        return self.without[number] if number < len(self.without) else ()
