"""What a user asks of 3D-LLDM."""

from collections.abc import Mapping
from typing import Annotated, final

from pydantic import Field, model_validator

from medsmith.cases.case_ref import CaseRef
from medsmith.data.deformation import DeformationConfig
from medsmith.methods.given_labels import Unusual
from medsmith.methods.guides import GuidedRequest
from medsmith.methods.lldm.config import MapSource

ControlWeight = Annotated[float, Field(ge=0, le=10, strict=True)]


@final
class LldmRequest(GuidedRequest):
    """A request for one pair of image and label map, or for an image that follows a given map.

    Attributes:
        labels: a case whose label map the image follows, or a cohort from which the seed chooses one.
        maps: where label maps come from if ``labels`` names none: "generated" from noise, or "deformed" from those of
            the training cohort; None takes the setting ``maps`` of the run.
        augment_labels: how far given maps, or those of the training cohort, are deformed; None takes given maps as they
            are, and ``deformation`` of the run for those of the training cohort.
        unusual: "refuse" given maps whose volumes lie outside the range of training, or "flag" them in the provenance.
        draws: largest number of maps that are drawn until one is legal.
        extent_mm: field of view along each axis, where the networks were told it (``extent_condition``); None takes
            that of the given case, or the median of the training cohort.
        control: weight of the residuals of the ControlNets, one for all or by the name of each (1 where none is given);
            0 ignores the map.
        guidance: weight of classifier-free guidance by the map: 1 is the controlled model alone.
    """

    labels: CaseRef | None = None
    maps: MapSource | None = None
    augment_labels: DeformationConfig | None = None
    unusual: Unusual = "refuse"
    draws: int = Field(default=20, ge=1, le=1000, strict=True)
    extent_mm: tuple[Annotated[float, Field(gt=0, le=100_000)], ...] | None = None
    control: ControlWeight | Mapping[str, ControlWeight] = 1.0
    guidance: float = Field(default=1.0, ge=0, le=20, strict=True)

    @model_validator(mode="after")
    def _one_source(self) -> "LldmRequest":
        if self.labels is not None and self.maps is not None:
            raise ValueError("labels and maps: label maps are given or made, not both; leave one out")
        if self.augment_labels is not None and self.maps == "generated":
            raise ValueError("augment_labels: maps from noise are not deformed; leave it out, or ask for deformed maps")
        return self
