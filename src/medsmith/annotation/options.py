"""Settings of the annotation loop."""

from collections.abc import Mapping
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field

from medsmith.anatomy.splines import LEAST_POINTS, MOST_POINTS
from medsmith.evaluation.downstream.augmentation import StrongAugmentation
from medsmith.evaluation.downstream.segmenter import MULTIPLE, SegmenterConfig

TrainedOn = Literal["generated", "generated+real", "generated-then-real"]


@final
class AnnotationOptions(BaseModel):
    """Settings of the annotation loop; each but ``turns`` must stay the same when a folder is continued.

    Attributes:
        turns: largest number of turns; may be raised later.
        pairs: generated pairs of each turn, at most 100,000.
        train_on: what the labeler of a turn is trained on. The paper takes generated pairs alone. With the labeled
            slices added, half of each batch, on average, has contours that are exact; those of a generated pair are
            only as exact as the image follows its map. "generated-then-real" gives each half of the steps.
        withheld_share: share of the labeled patients that is withheld, where no cohort of withheld cases is given.
        group: regular expression that names the patient of an id (see ``preparation.split``); None makes each case one,
            which is refused where a share is withheld.
        preset: of the generator, where no run is given.
        settings: changes to it, ``key=value``.
        max_minutes: its training time; None trains as configured.
        size: edge of the labeler's grid, a multiple of 8 up to 2048; None takes the generator's.
        labeler: training settings of every labeler and of the control.
        augmentation: of their training.
        points: see ``ShapeSpace.fit``.
        variance: see ``ShapeSpace.fit``.
        context: see ``ShapeSpace.fit``.
        request: further entries of mDDPM's request for each pair, such as textures.
        solver: of the sampler; None takes the generator's.
        sampling_steps: of the sampler; None takes the generator's.
        seed: of everything that is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    turns: int = Field(default=3, ge=1, le=100)
    pairs: int = Field(default=200, ge=1, le=100_000)
    train_on: TrainedOn = "generated+real"
    withheld_share: float = Field(default=0.25, gt=0, lt=1)
    group: str | None = None
    preset: str = "tiny"
    settings: tuple[str, ...] = ()
    max_minutes: float | None = Field(default=None, gt=0)
    size: int | None = Field(default=None, ge=2 * MULTIPLE, le=2048, multiple_of=MULTIPLE)
    labeler: SegmenterConfig = SegmenterConfig()
    augmentation: StrongAugmentation = StrongAugmentation()
    points: int = Field(default=48, ge=LEAST_POINTS, le=MOST_POINTS)
    variance: float = 0.98
    context: str = "auto"
    request: Mapping[str, Any] = {}
    solver: str | None = None
    sampling_steps: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)

    @property
    def network_seed(self) -> int:
        """Seed of weights, batches and augmentation, the same for all labelers and the control."""
        return self.seed % 2**31
