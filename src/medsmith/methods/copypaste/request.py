"""What a user asks of copy-paste."""

from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.cases.case_ref import CaseRef
from medsmith.data.deformation import DeformationConfig

Number = Annotated[int, Field(ge=1, le=20, strict=True)]
Factor = Annotated[float, Field(ge=0.1, le=10)]


@final
class CopyPasteRequest(BaseModel):
    """An image of one patient with structures of others.

    Attributes:
        templates: the case that structures are pasted into, or a cohort from which the seed chooses one; None takes the
            images that the run keeps. Where some case of the cohort has labels, those without are passed over; where
            none has, all count as free of structures.
        structures: names of labels; a structure is pasted if it has one of them. () takes all that the run keeps.
        per_image: smallest and largest number of structures that are pasted into an image.
        scale: smallest and largest factor on the size of a structure; its logarithm is uniform.
        deformation: how far a structure is deformed besides.
        within: names of labels of the template in which structures lie whole; () takes the label that surrounds each
            structure in its own image, or the unlabeled part of the body where none does.
        places: "as_in_training" draws places where structures of the training cohort are frequent, as shares of the
            field of view; "anywhere" draws them evenly.
        feather_mm: width of the soft edge outside a structure, mm (voxels in images without spacing); None takes three
            shortest edges of a voxel of the template.
        gray: "matched" brings a structure's gray values to its new surroundings, "kept" leaves them as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    templates: CaseRef | None = None
    structures: tuple[str, ...] = ()
    per_image: tuple[Number, Number] = (1, 1)
    scale: tuple[Factor, Factor] = (0.8, 1.25)
    deformation: DeformationConfig = DeformationConfig(rotation=8, scale=0.08, shift=0, elastic=0.012, smoothness=0.12)
    within: tuple[str, ...] = ()
    places: Literal["as_in_training", "anywhere"] = "as_in_training"
    feather_mm: float | None = Field(default=None, ge=0, le=50)
    gray: Literal["matched", "kept"] = "matched"

    @model_validator(mode="after")
    def _ranges_rise(self) -> "CopyPasteRequest":
        for name in ("per_image", "scale"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} = [{low:g}, {high:g}]: the smallest comes first")
        return self
