"""What a call of synthesis asks for, checked before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from pydantic import BaseModel

from medsmith.cases.integrity import MOST_CASES
from medsmith.errors import RequestError, counted, printable
from medsmith.formats.json_file import read_json
from medsmith.machine import usable_cores
from medsmith.synthesis.devices import check_built
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tasks import SynthesisRequest

Conditions = BaseModel | Path | str | Mapping[str, Any] | None
"""The conditions on each case: the method's request, the same as a mapping, a JSON file with them, or none."""
_MOST_WORKERS = 1024


@final
@dataclass(frozen=True)
class Sampled:
    """How cases are drawn.

    Attributes:
        seed: of the run; each case's seed is derived from it and the case's index.
        solver: of the sampler; None uses the method's default.
        steps: of the sampler; None uses the method's default.
    """

    seed: int = 0
    solver: str | None = None
    steps: int | None = None


def check_numbers(count: int, workers: int | None) -> None:
    """Checks the numbers of a call.

    Raises:
        RequestError: a number is below 1 or above the most.
    """
    for name, number, most in (("count", count, MOST_CASES), ("workers", workers, _MOST_WORKERS)):
        if number is not None and not 1 <= number <= most:
            raise RequestError(name, f"{number}", f"1 to {most}", "choose another number")


def checked_request(
    run: Path | str, conditions: Conditions, sampled: Sampled, options: SynthesisOptions
) -> SynthesisRequest:
    """The request of a call.

    Args:
        run: a run folder, or the name of shipped weights.
        conditions: on each case.
        sampled: seed and sampler.
        options: devices, limits and loader.

    Raises:
        RequestError: a device is not there, or the run's name is no text of one line.
        FileError: the file of conditions cannot be read.
    """
    check_built(options.devices)
    if str(run) != printable(str(run)):
        raise RequestError("run", f"'{run}' is no text of one line", "the plan records its name", "rename the folder")
    return SynthesisRequest(
        run=str(run),
        loader=options.loader,
        devices=options.devices,
        seed=sampled.seed,
        request=_read_request(conditions),
        solver=sampled.solver,
        steps=sampled.steps,
        limits=options.limits,
        batch=options.batch,
    )


def checked_shard(shard: Shard | None, count: int) -> Shard:
    """The shard to make, which has a case; without one, all cases."""
    found = shard or Shard(1, 1)
    if not found.indices(count):
        asked = f"{found} of {counted(count, 'case')}"
        raise RequestError("--shard", asked, "at least one case each", "use fewer shards")
    return found


def _read_request(request: Conditions) -> Mapping[str, Any]:
    if isinstance(request, BaseModel):
        entries: dict[str, Any] = request.model_dump(mode="json", exclude_unset=True)
        return entries
    return read_json(Path(request)) if isinstance(request, Path | str) else request or {}


def default_workers(devices: tuple[str, ...]) -> int:
    """One per core, or per GPU."""
    return usable_cores() if "cpu" in devices else len(devices)
