"""What is asked for, what every case of a folder shares, and one case as a unit of work. All of it is JSON."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field

from medsmith.synthesis.checks.verdict import Limits

LOADER = "medsmith.runs.checkpoints:load_method"
NOTICE = "Synthetic research data. Not for diagnosis."
_SHOWN = 40


@final
class SynthesisRequest(BaseModel):
    """What is asked of a trained method; what is left open, the method settles.

    Attributes:
        run: a run folder, or the name of shipped weights.
        loader: ``module:function`` that loads it; named, so that no code travels.
        devices: where its networks live, one or more of one kind; workers are spread over them in turn.
        seed: of the run, from which every case has its own.
        request: what is asked of each case, in the method's own words.
        solver: None takes the method's.
        steps: None takes the method's.
        limits: of the checks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    loader: str = LOADER
    devices: tuple[str, ...] = ("cpu",)
    seed: int = 0
    request: Mapping[str, Any] = {}
    solver: str | None = None
    steps: int | None = None
    limits: Limits = Limits()


@final
class Recipe(BaseModel):
    """All that decides the bytes of a case but its index: what the cases of one folder share.

    Attributes:
        method: the method's name.
        weights_hash: sha256 of its weights file.
        memory_hash: sha256 of what it keeps of its training cohort beside weights.
        config_hash: sha256 of its config in canonical JSON.
        device: kind of the device; its index decides nothing.
        precision: how passes are computed.
        seed: of the run.
        request: as the method understood it, without the places of cohorts and files.
        inputs: dotted key of the request that names a cohort or files -> their content hash; where they lie decides
            nothing.
        solver: of the sampling loop.
        steps: evaluations of the denoiser.
        limits: of the checks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    weights_hash: str
    memory_hash: str
    config_hash: str
    device: str
    precision: str
    seed: int
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    solver: str
    steps: int = Field(ge=1)
    limits: Limits


@final
class CohortSpec(BaseModel):
    """What the cohort of a method's cases looks like on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    file_ending: str


@final
class Reference(BaseModel):
    """Something on disk that a request names.

    Attributes:
        key: where in the request, names and numbers joined by dots: "guides.0.image".
        place: where it lies, as the request says.
        kind: of a ``CaseRef`` "cohort", of a path "files".
        case: the one case that a ``CaseRef`` names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    place: str
    kind: Literal["cohort", "files"]
    case: str | None = None


@final
class Settled(BaseModel):
    """What a loaded method makes of a request.

    Attributes:
        recipe: of all cases; its inputs are left to who hashes the references.
        spec: of the cohort of its cases.
        references: what the request names on disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    spec: CohortSpec
    references: tuple[Reference, ...] = ()


@final
class CaseTask(BaseModel):
    """One case: enough to make it on any machine that can load the run.

    Attributes:
        run: a run folder, or the name of shipped weights.
        loader: ``module:function`` that loads it.
        recipe: what it shares with the other cases.
        places: dotted key of the request that names a cohort or files -> where they lie here.
        index: its number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    loader: str
    recipe: Recipe
    places: Mapping[str, str] = {}
    index: int = Field(ge=0)

    @property
    def id(self) -> str:
        """The case's id."""
        return case_id(self.recipe.method, self.index)


def case_id(method: str, index: int) -> str:
    """The id of a method's case number ``index``."""
    return f"{method}_{index:05d}"


def canonical_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON value that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def first_difference(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> str:
    """The first key, in the order of ``there``, whose values differ, with both values; empty if none does."""
    for key in (*there, *(key for key in here if key not in there)):
        old, new = there.get(key), here.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            deeper = first_difference(old, new, f"{prefix}{key}.")
            if deeper:
                return deeper
        elif old != new:
            if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
                deeper = first_difference(_numbered(old), _numbered(new), f"{prefix}{key}.")
                if deeper:
                    return deeper
            return f"{prefix}{key} is {_short(old)} there and {_short(new)} here"
    return ""


def _numbered(values: Sequence[Any]) -> dict[str, Any]:
    return {str(place): value for place, value in enumerate(values)}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
