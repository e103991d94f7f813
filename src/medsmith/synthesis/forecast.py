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
from medsmith.errors import InterruptionError, SynthesisError, counted
from medsmith.formats.folders import check_can_be_made
from medsmith.formats.opening import format_bytes
from medsmith.formats.storage import Storage
from medsmith.progress import Advance, SecondsLeft, unlimited
from medsmith.synthesis import folder
from medsmith.synthesis.calls import Conditions, check_numbers, checked_shard, default_workers
from medsmith.synthesis.coordinator import synthesize
from medsmith.synthesis.missed import Misses, not_made, read_missed
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.plan import Plan, check_plan, read_plan
from medsmith.synthesis.references import check_output
from medsmith.synthesis.rejected import REJECTED
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tar_shards.layout import ShardIndex, check_free, check_same
from medsmith.synthesis.tar_shards.making import chosen_numbers
from medsmith.synthesis.tar_shards.packing import valid_manifest
from medsmith.synthesis.tasks import CaseIds, CohortSpec

_MOST_TRIED = 5
"""Cases, where the lesions of each miss what was requested."""
_CURE = "train longer; without --dry-run, rejected/ and failures/ show why"


@final
@dataclass(frozen=True)
class Forecast:
    """What a call would make and take.

    Attributes:
        location: folder or URL.
        there: number of its cases that are there, or not made for good since their lesions missed the request.
        missing: number of those that would be made.
        workers: number of processes.
        seconds: that a case took, refused attempts included.
        memory: most bytes that a worker held.
        bytes: of the files of one case.
        tried: number of cases that were tried: more than one where the lesions of the first missed the request.
    """

    location: str
    there: int
    missing: int
    workers: int
    seconds: float
    memory: int
    bytes: int
    tried: int = 1

    @property
    def lines(self) -> list[str]:
        """The forecast in lines."""
        minutes = self.seconds * self.missing / self.workers / 60
        several, missing = counted(self.workers, "worker"), counted(self.missing, "case")
        return [
            f"{self.location}: {missing} to make, {self.there} there already; nothing was written",
            f"time: {self.seconds:.2g} s a case ({self.tried} tried): about {minutes:.1f} min with {several}",
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
            "cases_tried": self.tried,
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
    tried: int


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
    check_can_be_made(out)
    folder.refuse_foreign(out)
    check_output(out, str(run), ())
    tried = _try_one(run, out, count, {"seed": seed, "request": request, "solver": solver, "steps": steps}, options)
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
        check_can_be_made(storage.folder)
        check_output(storage.folder, str(run), ())
    asked = {"seed": seed, "request": request, "solver": solver, "steps": steps}
    tried = _try_one(run, storage.location, count, asked, options)
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
    batches = -(-(total - there) // options.batch)
    size = max(1, min(workers or default_workers(options.devices), batches))
    return Forecast(location, there, total - there, size, tried.seconds, tried.memory, tried.bytes, tried.tried)


def _try_one(run: Path | str, location: object, count: int, asked: dict[str, Any], options: SynthesisOptions) -> _Trial:
    """Makes the first case, or the next where its lesions miss what was requested.

    Raises:
        SynthesisError: no case could be made; it names the place of the call, and no temporary file.
        InterruptionError: a signal came.
    """
    clock, missed = _Clock(), dict[str, Misses]()
    parts = max(count, 2)  # each of one case; of a folder with one part nothing would stay that says what was missed
    for number in range(1, min(count, _MOST_TRIED) + 1):
        with tempfile.TemporaryDirectory(prefix="medsmith-dry-run-") as place:
            out, alone = Path(place) / "out", replace(options, shard=Shard(number, parts))
            try:
                synthesize(run, out, count=parts, workers=1, options=alone, progress=clock, **asked)
            except InterruptionError:
                raise InterruptionError(location, "interrupted; nothing was written") from None
            except SynthesisError as error:
                if not (found := read_missed(out)):
                    raise SynthesisError(location, error.found, error.limit, _CURE) from None
                missed |= found
            else:
                return _trial(out, clock.seconds / number / min(count, options.batch), number)
    raise not_made(location, 0, missed)


def _trial(out: Path, seconds: float, tried: int) -> _Trial:
    """What is known of the folder of a case that was made."""
    files = [path for path in out.glob("*/*") if path.is_file() and path.parent.name != REJECTED]
    made = Cohort.open(out)
    spec = CohortSpec(channel_names=made.channel_names, label_names=made.label_names, file_ending=made.file_ending)
    size = sum(path.stat().st_size for path in files)
    plan = read_plan(out).model_copy(update={"shard": None})
    return _Trial(plan, spec, seconds, _largest_worker(), size, tried)


def _largest_worker() -> int:
    """The most bytes that a process of this call has held: a worker, or this one where the cases are made here."""
    unit = 1 if sys.platform == "darwin" else 1024
    held = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held * unit


@final
class _Clock:
    """Adds the times of the cases that are tried; shows nothing."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def task(self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited) -> Iterator[Advance]:  # noqa: ARG002
        """As of ``Progress``."""
        started, before = time.monotonic(), self.seconds

        def advance(steps: int, _note: str) -> None:
            if steps:
                self.seconds = before + time.monotonic() - started

        yield advance
        if self.seconds == before:  # no case was made
            self.seconds += time.monotonic() - started
