"""Settings of the experiment with nnU-Net."""

from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from medsmith.evaluation.downstream.arms import REAL, Arm
from medsmith.evaluation.nnunet.splits import FOLDS
from medsmith.machine import usable_cores, usual_device
from medsmith.nnunet_environment.trainer import EPOCHS, ITERATIONS

Configuration = Literal["2d", "3d_fullres"]
_MOST_WORKERS = 8


@final
class NnunetOptions(BaseModel):
    """What nnU-Net trains and how it is measured.

    Attributes:
        configuration: of nnU-Net's plans.
        folds: of its cross-validation; each is one network of every arm.
        epochs: of each training; nnU-Net's own course has 1000.
        iterations: gradient steps of an epoch; nnU-Net's own have 250.
        share: of synthetic cases in the batches of R + S, on average.
        alone: whether there is an arm that learns from synthetic cases alone.
        seed: of weights and of the choice of folds.
        device: that nnU-Net computes on; by default ``cuda`` if there is a GPU.
        workers: processes of nnU-Net that read, augment and write.
        group: see ``UtilityOptions``; so are the following.
        scenes: the same.
        tolerance: the same.
        gain: the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    configuration: Configuration = "2d"
    folds: tuple[Annotated[int, Field(ge=0, lt=FOLDS)], ...] = Field(default=(0,), min_length=1)
    epochs: int = Field(default=EPOCHS, ge=1, le=100_000)
    iterations: int = Field(default=ITERATIONS, ge=1, le=100_000)
    share: float = Field(default=0.5, gt=0, lt=1)
    alone: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: Literal["cpu", "cuda"] = Field(default_factory=usual_device)
    workers: int = Field(default_factory=lambda: min(usable_cores(), _MOST_WORKERS), ge=1, le=1000)
    group: str | None = None
    scenes: Literal["apart", "ignored"] = "apart"
    tolerance: float = Field(default=2.0, gt=0)
    gain: float = Field(default=2.0, gt=0, le=100)

    @field_validator("folds")
    @classmethod
    def _sorted(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(values)))

    @property
    def arms(self) -> list[Arm]:
        """What the networks learn from; R first."""
        mixed = Arm("R + S", "real-and-synthetic", (self.share,))
        return [REAL, mixed, *([Arm("S", "synthetic", (1.0,))] if self.alone else [])]

    @property
    def course(self) -> float:
        """Gradient steps as a share of nnU-Net's own course."""
        return self.epochs * self.iterations / (EPOCHS * ITERATIONS)
