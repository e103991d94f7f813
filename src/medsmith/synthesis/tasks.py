"""Request, recipe (what all cases of a folder share) and task (one case): models that are serialized as JSON."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, final, overload

from pydantic import BaseModel, ConfigDict, Field

from medsmith.synthesis.checks.result import Limits

LOADER = "medsmith.runs.checkpoints:load_method"
NOTICE = "Synthetic research data. Not for diagnosis."
MOST_BATCH = 256
_MAX_SHOWN = 40


@final
class SynthesisRequest(BaseModel):
    """A request to a trained method; the method fills in what is None.

    Attributes:
        run: a run folder, or the name of shipped weights.
        loader: ``module:function`` that loads it; passed by name, so that no code is serialized.
        devices: one or more devices of one kind; workers are distributed over them round-robin.
        seed: of the run; the seed of each case is derived from it.
        request: conditions on each case, in the method's request format.
        solver: of the sampler; None uses the method's default.
        steps: of the sampler; None uses the method's default.
        limits: tolerances of the checks.
        batch: cases of a worker whose network passes are joined.
    """

    # NaN reaches the worker as NaN, so that the method refuses it by its name; the default would send null.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    run: str
    loader: str = LOADER
    devices: tuple[str, ...] = ("cpu",)
    seed: int = 0
    request: Mapping[str, Any] = {}
    solver: str | None = None
    steps: int | None = None
    limits: Limits = Limits()
    batch: int = Field(default=1, ge=1, le=MOST_BATCH)


@final
class Recipe(BaseModel):
    """Everything that determines the bytes of a case except its index; shared by the cases of one folder.

    Attributes:
        method: the method's name.
        weights_hash: sha256 of its weights file.
        memory_hash: sha256 of the training data that it stores besides the weights.
        config_hash: sha256 of its config in canonical JSON.
        device: kind of the device; its index has no effect.
        precision: number format and memory layout of the network passes.
        seed: of the run.
        request: validated, with all defaults, without the paths of cohorts and files.
        inputs: dotted key of a cohort or file in the request -> its content hash; its path has no effect.
        solver: of the sampling loop.
        steps: evaluations of the denoiser.
        limits: tolerances of the checks.
        batch: rows of the batch that the network passes of a case are computed in; not written where it is 1.
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
    batch: int = Field(default=1, ge=1, le=MOST_BATCH, exclude_if=lambda batch: batch == 1)

    def row(self, index: int) -> int:
        """The row of a case in its batch.

        Consecutive cases have different rows, from a turn that each block of them draws by hash: cases at equal
        distances, as those of a shard, would all have one row otherwise.
        """
        block, place = divmod(index, self.batch)
        return (place + _turn(block)) % self.batch


@final
class CohortSpec(BaseModel):
    """Channels, labels and file format of the cohort that a method's cases are written to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    file_ending: str


@final
class Reference(BaseModel):
    """A cohort or file named by a request.

    Attributes:
        key: its dotted path within the request: "guides.0.image".
        path: as given in the request.
        kind: "cohort" for a ``CaseRef``, "files" for a path.
        case: the case named by a ``CaseRef``, if any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    path: str
    kind: Literal["cohort", "files"]
    case: str | None = None


@final
class ResolvedRequest(BaseModel):
    """A request with the defaults of the loaded method filled in.

    Attributes:
        recipe: of all cases; its inputs are empty until the references are hashed.
        spec: of the cohort of its cases.
        references: cohorts and files named by the request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    spec: CohortSpec
    references: tuple[Reference, ...] = ()


@final
class CaseTask(BaseModel):
    """One case: all that a machine with the run needs to synthesize it.

    Attributes:
        run: a run folder, or the name of shipped weights.
        loader: ``module:function`` that loads it.
        recipe: shared with the other cases.
        paths: dotted key of a cohort or file in the request -> its path on this machine.
        stamps: the same key -> stamp before it was hashed; missing ones are hashed again.
        index: of the case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    loader: str
    recipe: Recipe
    paths: Mapping[str, str] = {}
    stamps: Mapping[str, str] = {}
    index: int = Field(ge=0)

    @property
    def id(self) -> str:
        """The case's id."""
        return case_id(self.recipe.method, self.index)


def case_id(method: str, index: int) -> str:
    """The id of a method's case number ``index``."""
    return f"{method}_{index:05d}"


@final
class CaseIds(Sequence[str]):
    """Ids of a method's cases, made when they are asked for.

    Args:
        method: its name.
        indices: numbers of the cases, ascending.
    """

    def __init__(self, method: str, indices: range) -> None:
        self._method, self._indices = method, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __contains__(self, id: object) -> bool:
        name, _, number = str(id).rpartition("_")
        known = name == self._method and number.isdecimal() and number.isascii()
        return known and int(number) in self._indices and id == case_id(self._method, int(number))

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> "CaseIds": ...

    def __getitem__(self, place: int | slice) -> "str | CaseIds":
        if isinstance(place, slice):
            return CaseIds(self._method, self._indices[place])
        return case_id(self._method, self._indices[place])


def canonical_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def first_difference(stored: Mapping[str, Any], current: Mapping[str, Any], prefix: str = "") -> str:
    """One line on the first key, in the order of ``stored``, whose values differ; empty if none does."""
    for key in (*stored, *(key for key in current if key not in stored)):
        old, new = stored.get(key), current.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            deeper = first_difference(old, new, f"{prefix}{key}.")
            if deeper:
                return deeper
        elif old != new:
            if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
                deeper = first_difference(_by_index(old), _by_index(new), f"{prefix}{key}.")
                if deeper:
                    return deeper
            return f"{prefix}{key} is {_shortened(old)} there and {_shortened(new)} here"
    return ""


def _by_index(values: Sequence[Any]) -> dict[str, Any]:
    return {str(index): value for index, value in enumerate(values)}


@lru_cache(maxsize=4096)
def _turn(block: int) -> int:
    """A number that looks random and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"block {block}".encode()).digest()[:8])


def _shortened(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
