"""How much of a second worker is gained: cases of shipped weights with one worker and with two, in turn.

The seconds are from the loaded run to the last case (loading is left out), on an otherwise idle machine with two cores;
the efficiency is the time with one worker over twice the time with two, 1 where nothing is lost. As a cohort and as
shards, which are packed while cases are made.

Writes worker_efficiency.json beside this file.
Run: python benchmarks/core/worker_efficiency.py FOLDER [CASES] [REPEATS]
"""

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from medsmith.machine import facts
from medsmith.progress import Advance, SecondsLeft, unlimited
from medsmith.synthesis import SynthesisOptions, synthesize, synthesize_shards

HERE = Path(__file__).parent
METHOD, CASES, REPEATS, MOST_LOAD = "pig", 60, 3, 0.5
WAYS: dict[str, Callable[..., Any]] = {"folder": synthesize, "shards": synthesize_shards}


@final
class Clock:
    """Seconds of the task."""

    seconds = 0.0

    @contextmanager
    def task(self, name: str, total: int, done: int = 0, limit: SecondsLeft = unlimited) -> Iterator[Advance]:  # noqa: ARG002
        started = time.monotonic()
        yield lambda _steps, _note: None
        self.seconds = time.monotonic() - started


def seconds_of(way: str, folder: Path, cases: int, workers: int) -> float:
    """Seconds of one call."""
    shutil.rmtree(folder, ignore_errors=True)
    clock, options = Clock(), SynthesisOptions(shard_cases=max(cases // 6, 1))
    WAYS[way](METHOD, folder, count=cases, workers=workers, options=options, progress=clock)
    shutil.rmtree(folder)
    return clock.seconds


def main(folder: Path, cases: int, repeats: int) -> None:
    """Measure in turn, write, print."""
    if os.getloadavg()[0] > MOST_LOAD:
        raise SystemExit(f"the load of this machine is {os.getloadavg()[0]:.1f}; measure when it is idle")
    rows = {}
    for way in WAYS:
        taken: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(repeats):
            for workers, found in taken.items():
                found.append(round(seconds_of(way, folder / way, cases, workers), 2))
        one, two = (statistics.median(found) for found in taken.values())
        rows[way] = {"seconds": taken, "efficiency": round(one / (2 * two), 3)}
    result = {**facts(), "method": METHOD, "cases": cases, "ways": rows}
    (HERE / "worker_efficiency.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[2:4]]
    main(Path(sys.argv[1]), *(numbers + [CASES, REPEATS][len(numbers) :]))
