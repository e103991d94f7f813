"""A structured report as data: one `LesionReport` per lesion, a `ScanReport` per scan."""

from collections.abc import Mapping
from typing import Annotated, Any, final

from pydantic import BaseModel, ConfigDict, Field

from medsmith.reports.vocabulary import (
    Cavity,
    Density,
    DensityVariation,
    Enhancement,
    Feature,
    Relationship,
    Shape,
    Surface,
)

MAX_LESIONS = 3
"""Maximum number of lesions per scan (the released ``max_mask_num``)."""
Edge = Annotated[float, Field(gt=0, le=400)]


@final
class LesionReport(BaseModel):
    """The attributes of one lesion; None or empty means not stated.

    Attributes:
        lesion_type: name of the lesion ("kidney cyst"), see ``rules``.
        enhancement: whether contrast agent was given.
        organ: TotalSegmentator name of the organ that has the lesion, or of a group of them ("kidney").
        shape: one or several shapes.
        size_mm: edges of the lesion's bounding box in mm along the patient's right-left, front-back and feet-head axes.
        density: against the organ.
        density_variation: inside the lesion.
        ct_value_hu: mean density in Hounsfield units.
        surface: margin.
        relationship: with adjacent organs.
        features: specific features.
        cavity: place in the organ.
        measured: measurements behind the options, name with unit -> value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lesion_type: str | None = None
    enhancement: Enhancement | None = None
    organ: str | None = None
    shape: tuple[Shape, ...] = ()
    size_mm: tuple[Edge, Edge, Edge] | None = None
    density: Density | None = None
    density_variation: DensityVariation | None = None
    ct_value_hu: Annotated[float, Field(ge=-1024, le=3071)] | None = None
    surface: Surface | None = None
    relationship: Relationship | None = None
    features: tuple[Feature, ...] = ()
    cavity: Cavity | None = None
    measured: Mapping[str, float] = {}


@final
class ScanReport(BaseModel):
    """The reports of all lesions of a scan.

    Attributes:
        lesions: one report each.
        without: for each lesion, options that it must not have ("no calcification"); () where there are none.
        remarks: what the words of a text became where ``lesions`` do not hold them as said; for the record.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    lesions: tuple[LesionReport, ...] = ()
    without: tuple[tuple[str, ...], ...] = Field(default=(), exclude_if=lambda without: not any(without))
    remarks: tuple[str, ...] = Field(default=(), exclude_if=lambda remarks: not remarks)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scan's report."""
    return ScanReport.model_json_schema()
