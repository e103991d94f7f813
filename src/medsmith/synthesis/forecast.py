"""What a call of synthesis would make and take, from one case that is made in a temporary folder."""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from medsmith.cases.cohort import Cohort
from medsmith.errors import counted
from medsmith.formats.opening import format_bytes
from medsmith.formats.storage import Storage
from medsmith.progress import Advance, SecondsLeft, unlimited
from medsmith.synthesis import folder
from medsmith.synthesis.calls import Conditions, check_numbers, checked_shard, default_workers
from medsmith.synthesis.coordinator import synthesize
from medsmith.synthesis.missed import read_missed
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.plan import Plan, check_plan, read_plan
from medsmith.synthesis.references import check_output
from medsmith.synthesis.rejected import REJECTED
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tar_shards.layout import ShardIndex, check_free, check_same
from medsmith.synthesis.tar_shards.making import chosen_numbers
from medsmith.synthesis.tar_shards.packing import valid_manifest
from medsmith.synthesis.tasks import CaseIds, CohortSpec


@final
@dataclass(frozen=True)
class Forecast:
    """What a call would make and take.

    Attributes:
        location: folder or URL.
        there: number of its cases that are there, or not made for good since their lesions missed the request.
        missing: number of those that would be made.
        workers: number of processes.
        seconds: that one case took, refused attempts included.
        memory: most bytes that a worker held.
        bytes: of the files of one case.
    """

    location: str
    there: int
    missing: int
    workers: int
    seconds: float
    memory: int
    bytes: int

    @property
    def lines(self) -> list[str]:
        """The forecast in lines."""
        minutes = self.seconds * self.missing / self.workers / 60
        several, missing = counted(self.workers, "worker"), counted(self.missing, "case")
        return [
            f"{self.location}: {missing} to make, {self.there} there already; nothing was written",
            f"time: {self.seconds:.2g} s for the one case that was tried: about {minutes:.1f} min with {several}",
            f"memory: {format_bytes(self.memory)} in a worker, {format_bytes(self.memory * self.workers)} in all "
            f"(without that of a GPU)",
            f"disk: {format_bytes(self.bytes)} a case, {format_bytes(self.bytes * self.missing)} in all",
        ]

    def as_json(self) -> dict[str, Any]:
        """The forecast as JSON values."""
        return {
            "location": self.location,
            "cases_there": self.there,
            "cases_missing": self.missing,
            "workers": self.workers,
            **self.cost_as_json(),
        }

    def cost_as_json(self) -> dict[str, Any]:
        """What a case costs, as JSON values."""
        return {
            "seconds_per_case": self.seconds,
            "memory_per_worker_bytes": self.memory,
            "bytes_per_case": self.bytes,
        }


@final
@dataclass(frozen=True)
class _Trial:
    """One case that was made: the plan and declaration of its folder, and what it took."""

    plan: Plan
    spec: CohortSpec
    seconds: float
    memory: int
    bytes: int


def forecast(
    run: Path | str,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    request: Conditions = None,
    solver: str | None = None,
    steps: int | None = None,
    workers: int | None = None,
    options: SynthesisOptions | None = None,
) -> Forecast:
    """What ``synthesize`` with these arguments would make and take.

    Raises:
        MedsmithError: as of that call, as far as it is known before the second case.
    """
    out, options = Path(out), options or SynthesisOptions()
    check_numbers(count, workers)
    shard = checked_shard(options.shard, count)
    folder.refuse_foreign(out)
    check_output(out, str(run), ())
    tried = _try_one(run, {"seed": seed, "request": request, "solver": solver, "steps": steps}, options)
    part = None if shard == Shard(1, 1) else str(shard)
    check_plan(out, tried.plan.model_copy(update={"count": count, "shard": part}))
    ids = CaseIds(tried.plan.recipe.method, shard.indices(count))
    missed = read_missed(out)
    there = sum(id in missed or folder.is_whole(out, tried.spec, id) for id in ids)
    return _forecast(str(out), there, len(ids), workers, options, tried)


def forecast_shards(
    run: Path | str,
    location: Path | str,
    *,
    count: int,
    seed: int = 0,
    request: Conditions = None,
    solver: str | None = None,
    steps: int | None = None,
    workers: int | None = None,
    options: SynthesisOptions | None = None,
) -> Forecast:
    """What ``synthesize_shards`` with these arguments would make and take.

    Raises:
        MedsmithError: as of that call, as far as it is known before the second case.
    """
    storage, options = Storage.at(location), options or SynthesisOptions()
    check_numbers(count, workers)
    numbers = chosen_numbers(options, count)
    check_free(storage)
    if storage.folder is not None:
        check_output(storage.folder, str(run), ())
    tried = _try_one(run, {"seed": seed, "request": request, "solver": solver, "steps": steps}, options)
    plan = tried.plan.model_copy(update={"count": count})
    index = ShardIndex(shard_cases=options.shard_cases, plan=plan, spec=tried.spec)
    check_same(storage, index)
    names = storage.names()
    whole = [number for number in numbers if valid_manifest(storage, index, number, names) is not None]
    there, total = (sum(len(index.ids(number)) for number in some) for some in (whole, numbers))
    return _forecast(storage.location, there, total, workers, options, tried)


def _forecast(
    location: str, there: int, total: int, workers: int | None, options: SynthesisOptions, tried: _Trial
) -> Forecast:
    size = max(1, min(workers or default_workers(options.devices), total - there))
    return Forecast(location, there, total - there, size, tried.seconds, tried.memory, tried.bytes)


def _try_one(run: Path | str, asked: dict[str, Any], options: SynthesisOptions) -> _Trial:
    """Makes the first case."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="medsmith-dry-run-") as place:
        out = Path(place) / "out"
        alone = replace(options, shard=None)
        synthesize(run, out, count=1, workers=1, options=alone, progress=clock, **asked)
        plan = read_plan(out)
        files = [path for path in out.glob("*/*") if path.is_file() and path.parent.name != REJECTED]
        made = Cohort.open(out)
        spec = CohortSpec(channel_names=made.channel_names, label_names=made.label_names, file_ending=made.file_ending)
        size = sum(path.stat().st_size for path in files)
    return _Trial(plan, spec, clock.seconds, _largest_worker(), size)


def _largest_worker() -> int:
    """The most bytes that a process of this call has held: a worker, or this one where the cases are made here."""
    unit = 1 if sys.platform == "darwin" else 1024
    held = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held * unit


@final
class _Clock:
    """Takes the time of the first case; shows nothing."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def task(self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited) -> Iterator[Advance]:  # noqa: ARG002
        """As of ``Progress``."""
        started = time.monotonic()

        def advance(steps: int, _note: str) -> None:
            if steps:
                self.seconds = time.monotonic() - started

        yield advance
