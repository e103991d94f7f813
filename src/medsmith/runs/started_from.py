"""What the record of a run says of the weights that it started from."""

from collections.abc import Mapping
from typing import final

from pydantic import BaseModel, ConfigDict

from medsmith.runs.steps import StageSteps


@final
class StartedFrom(BaseModel):
    """The weights that a run started from.

    Attributes:
        weights: sha256 of their file.
        copy_sha256: of the copy in the run folder.
        cohort_hash: content hash of the cohort that they were trained on.
        steps: stage -> steps behind them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    copy_sha256: str
    cohort_hash: str
    steps: Mapping[str, StageSteps] = {}
