"""Processor and wall seconds of the main commands in two checkouts, in one run.

Every job runs in both checkouts in turn, ROUNDS times; medians are written. What takes long to start is measured as a
difference: a lesion, a pair and a training step are the seconds of a longer run less those of a shorter one, divided by
the difference in length. One thread and one worker; processor seconds include all child processes.

Both checkouts are copied, and the shipped weights set to float32 there: a CPU that only emulates bfloat16 would take
tens of times as long in a revision that does not avoid it, and hide every other difference. Both run in this
environment. Writes compare_revisions.json beside this file.
Run: python benchmarks/core/compare_revisions.py BEFORE AFTER FOLDER [ROUNDS]
"""

import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).parent
ROUNDS = 3
WORDS = "a 20 mm round-like hypodense cyst with a well-defined margin inside the liver"


class Seconds(NamedTuple):
    """Of one job."""

    processor: float
    wall: float


def timed(checkout: Path, arguments: Sequence[object]) -> Seconds:
    """Run python with the sources of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, env=environment, cwd=checkout, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Seconds(processor, time.monotonic() - started)


def medsmith(checkout: Path, *arguments: object) -> Seconds:
    """Run the command line of a checkout."""
    return timed(checkout, ["-m", "medsmith", *arguments])


def difference(run: Callable[[int], Seconds], short: int, long: int) -> Seconds:
    """Seconds per unit between a short and a long run."""
    first, second = run(short), run(long)
    return Seconds(*((b - a) / (long - short) for a, b in zip(first, second, strict=True)))


def help_page(checkout: Path, folder: Path) -> Seconds:
    """``medsmith --help``."""
    del folder
    return medsmith(checkout, "--help")


def lesion(checkout: Path, folder: Path) -> Seconds:
    """One lesion of the shipped weights, placed, made, checked and written."""
    scans = folder / "scans"
    medsmith(checkout, "phantom", "ct-healthy", scans, "--count", 6, "--size", 96, "--seed", 2)
    asked = ("--templates", scans, "--report", WORDS, "--workers", 1)

    def run(count: int) -> Seconds:
        return medsmith(checkout, "synthesize", "lesiondiffusion", folder / f"{count}", "--count", count, *asked)

    return difference(run, 1, 7)


def pair(checkout: Path, folder: Path) -> Seconds:
    """One pair of the shipped weights of pig."""

    def run(count: int) -> Seconds:
        return medsmith(checkout, "synthesize", "pig", folder / f"{count}", "--count", count, "--workers", 1)

    return difference(run, 2, 22)


def training_step(checkout: Path, folder: Path) -> Seconds:
    """One step of pig, mean of its two networks, 64 x 64, batch 16."""
    medsmith(checkout, "phantom", "breast", folder / "cases", "--count", 48, "--size", 64)
    settings = ("--set", "training.precision=float32", "--set", "training.batch=16")

    def run(steps: int) -> Seconds:
        course = ("--run", folder / f"run-{steps}", "--max-steps", steps)
        return medsmith(checkout, "train", "pig", folder / "cases", *course, *settings)

    per_step = difference(run, 2, 22)
    return Seconds(per_step.processor / 2, per_step.wall / 2)


def demo(checkout: Path, folder: Path) -> Seconds:
    """The demo."""
    return timed(checkout, [checkout / "examples" / "demo.py", folder / "demo"])


def copied(checkout: Path, place: Path) -> Path:
    """Sources and examples of a checkout, with the shipped weights in float32."""
    shutil.rmtree(place, ignore_errors=True)
    for part in ("src", "examples"):
        shutil.copytree(checkout / part, place / part)
    for run in (place / "src" / "medsmith" / "weights").glob("*/run.json"):
        run.write_text(run.read_text().replace('"precision": "bfloat16"', '"precision": "float32"'))
        promised = json.loads((run.parent / "manifest.json").read_text())
        promised["run.json"] = hashlib.sha256(run.read_bytes()).hexdigest()
        (run.parent / "manifest.json").write_text(json.dumps(promised))
    return place.resolve()


JOBS: tuple[Callable[[Path, Path], Seconds], ...] = (help_page, lesion, pair, training_step, demo)


def main(before: Path, after: Path, folder: Path, rounds: int) -> None:
    """Alternate, take medians, write."""
    taken: dict[str, dict[str, list[Seconds]]] = {job.__name__: {"before": [], "after": []} for job in JOBS}
    copies = {"before": copied(before, folder / "before"), "after": copied(after, folder / "after")}
    for number in range(rounds):
        for job in JOBS:
            for name, checkout in copies.items():
                place = folder / f"{number}-{job.__name__}-{name}"
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(parents=True)
                taken[job.__name__][name].append(job(checkout, place.resolve()))
                print(number, job.__name__, name, taken[job.__name__][name][-1], flush=True)
    medians = {
        job: {
            f"{kind}_{name}": round(median(getattr(seconds, kind) for seconds in found), 3)
            for name, found in sides.items()
            for kind in Seconds._fields
        }
        for job, sides in taken.items()
    }
    result = {
        "command": f"python benchmarks/core/compare_revisions.py BEFORE AFTER FOLDER {rounds}",
        "before": _commit(before),
        "after": _commit(after),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {name: metadata.version(name) for name in ("torch", "numpy")},
        "medians": medians,
    }
    (HERE / "compare_revisions.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else ROUNDS)
