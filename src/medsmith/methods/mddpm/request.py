"""What a user asks of mDDPM: an anatomy, textures, pathologies, and how they act together."""

from typing import Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from medsmith.cases.case_ref import CaseRef, InputPath
from medsmith.diffusion import Combination
from medsmith.methods.guides import Guide, GuideAction, GuidedRequest

TEXTURE_FACTOR, TEXTURE_UNTIL = 1 / 32, 0.3
"""``relative_factor`` and ``until`` of a texture beside an anatomy where the request gives none. The anatomy, applied
after it, replaces every frequency up to its own factor of 1/16: a coarser texture would leave nothing behind."""

Share = Annotated[float, Field(ge=0, le=1)]
Place = Annotated[tuple[Share, ...], Field(min_length=2, max_length=3)]


@final
class Anatomy(GuideAction):
    """A label map that the image follows.

    Attributes:
        space: shape space (``medsmith anatomy fit``) that the map is sampled from; it also has the gray values of the
            classes.
        labels: a case whose label map is followed instead of a sample; a cohort alone lets the seed choose a case.
        spread: largest distance from the mean shape, in standard deviations of each mode.
        classes: names of the classes that the label map of the case gets; empty takes the labels of the space, or its
            context classes (body, lung) where it has no labels.
    """

    RELATIVE_FACTOR: ClassVar[float] = 1 / 16
    UNTIL: ClassVar[float] = 0.3

    space: InputPath
    labels: CaseRef | None = None
    spread: float = Field(default=2.0, gt=0, le=4)
    classes: tuple[str, ...] = ()


@final
class Pathology(GuideAction):
    """A lesion of one case at a place of the new image. It acts only where it is.

    Attributes:
        case: the case with image and labels; a cohort alone lets the seed choose a case.
        label: name of its label; may be left out where there is only one, or, beside an anatomy, only one that is no
            class of the shape space. Its largest connected part is taken.
        at: place of its center, as shares of the image as it is displayed: x from the left, y from the top, and z of
            volumes from the feet. Slices with orientation are displayed with the patient's right on the left and the
            front at the top. None: inside ``within`` as the seed chooses; without an anatomy where it is in its own
            image.
        scale: of its size.
        rotate: degrees in the plane of x and y, clockwise as displayed.
        within: class of the anatomy that must hold it, such as "lung". Beside an anatomy, where neither it nor ``at``
            is given: the context class, lung or body, that holds it in its own image.
        gray: "match" maps the gray values of its image so that lung and tissue have the means of the first texture or
            of the anatomy, or, where one of the images does not show them, so that its histogram becomes that of the
            texture or of the training images; "keep" leaves them; "auto" keeps Hounsfield units and matches others.
    """

    RELATIVE_FACTOR: ClassVar[float] = 1 / 32
    UNTIL: ClassVar[float] = 0.0

    case: CaseRef
    label: str | None = None
    at: Place | None = None
    scale: float = Field(default=1.0, ge=0.1, le=10)
    rotate: float = Field(default=0.0, ge=-360, le=360)
    within: str | None = None
    gray: Literal["auto", "match", "keep"] = "auto"


@final
class MddpmRequest(GuidedRequest):
    """A request for one case. In a sum or a mean all act alike; "sequential" applies textures, anatomy, pathologies.

    Attributes:
        anatomy: the label map that the image follows; it becomes the annotation.
        pathologies: lesions with their places; they are added to the annotation.
    """

    combination: Combination = "sequential"
    anatomy: Anatomy | None = None
    pathologies: tuple[Pathology, ...] = ()

    @property
    def textures(self) -> tuple[Guide, ...]:
        """The guides; beside an anatomy, with a factor and a last time of their own where the request gives none."""
        return self.guides if self.anatomy is None else tuple(_beside_anatomy(guide) for guide in self.guides)

    @model_validator(mode="after")
    def _organs_are_known(self) -> "MddpmRequest":
        required = [lesion.within for lesion in self.pathologies if lesion.within is not None]
        if required and self.anatomy is None:
            raise ValueError(f"within = '{required[0]}' without an anatomy: name a shape space, or leave it out")
        return self


def _beside_anatomy(guide: Guide) -> Guide:
    factor = {"relative_factor": TEXTURE_FACTOR} if guide.factor is guide.relative_factor is None else {}
    until = {"until": TEXTURE_UNTIL} if guide.until is guide.last_step is None else {}
    return guide.model_copy(update={**factor, **until})
