"""How time and memory of synthesis, checks and merging grow with the number of cases.

Cases of 8 x 8 pixels from a method without a network, so that what is measured is everything but the making of a case:
the coordinator with its one worker, opening a folder, checking it, making nothing again, joining parts, merging, tar
shards and back. Each step runs in a process of its own. Its processor seconds are those of that process, without the
worker's; its memory is the largest resident set (ru_maxrss). Nothing is synced to the disk (fsync), whose speed is not
in question. Each row names its number of cases; a step whose time is proportional to it has ten times the seconds for
ten times the cases.

Writes growth.json beside this file. Run: python benchmarks/core/growth.py FOLDER [COUNT ...]
"""

import json
import os
import platform
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Sampling
from medsmith.geometry import Geometry

HERE = Path(__file__).parent
COUNTS = (1000, 10_000)
FEW = 10
"""Cases that are merged with the others."""
SHAPE = (8, 8, 1)
LABELS = {"background": 0, "lesion": 1}


def _not_synced(fd: Any) -> None:
    """In place of fsync."""


class Nothing(BaseModel):
    """A request without entries, and a config that only names the sampler."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampling: Sampling = Sampling(solver="ddim", steps=1)


class Squares:
    """A method without a network: a bright square on noise."""

    name, precision, weights_hash, checks = "squares", "float32", "0" * 64, None
    Request, config = Nothing, Nothing()

    def __init__(self) -> None:
        self.memory: Mapping[str, Any] = {}
        self.fingerprint = Fingerprint.model_validate(
            {
                "dimensions": 2,
                "channel_names": ("gray",),
                "label_names": LABELS,
                "file_ending": ".png",
                "stored": "uint8",
                "shape": SHAPE,
                "spacing": (1.0, 1.0, 1.0),
                "spacing_known": False,
                "absolute": True,
                "full_range": ((0.0, 255.0),),
                "robust_range": ((20.0, 220.0),),
                "foreground": (0.01, 0.5),
                "label_share": {"background": 1.0, "lesion": 1.0},
                "components": 1,
                "count": 40,
                "cohort_hash": "0" * 64,
            }
        )

    def output_fingerprint(self, _request: BaseModel) -> Fingerprint:
        return self.fingerprint

    def request_of_case(self, request: BaseModel, _index: int) -> BaseModel:
        return request

    def checks_of(self, _request: BaseModel) -> None:
        """All checks."""

    def synthesize(self, _request: BaseModel, seed: int, _sampling: Sampling) -> Case:
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 120, (1, *SHAPE)).astype(np.float32)
        labels = np.zeros(SHAPE, np.uint8)
        labels[2:5, 2:6] = 1
        image[0][labels > 0] += 100
        kinds = (self.fingerprint.channel_names, LABELS, np.dtype("u1"))
        return Case("square", image, labels, Geometry.plain(SHAPE), *kinds)


def load(_run: str, *, device: str) -> Squares:  # noqa: ARG001
    """The loader that the workers call."""
    os.fsync = _not_synced
    return Squares()


def _options() -> Any:
    from medsmith.synthesis import SynthesisOptions

    return SynthesisOptions(loader="growth:load")


def synthesize(folder: Path, count: int) -> None:
    from medsmith.synthesis import synthesize as make

    make(folder / "run", folder / "whole", count=count, workers=1, options=_options())


def shards(folder: Path, count: int) -> None:
    from medsmith.synthesis import synthesize_shards

    synthesize_shards(folder / "run", folder / "tars", count=count, workers=1, options=_options())


def unpack(folder: Path, _count: int) -> None:
    from medsmith.synthesis import unpack as write

    write(folder / "tars", folder / "unpacked")


def open_folder(folder: Path, count: int) -> None:
    from medsmith.cases.cohort import Cohort

    assert len(Cohort.open(folder / "whole")) == count


def check(folder: Path, _count: int) -> None:
    from medsmith.cases.verification import verify_folder

    verify_folder(folder / "whole")


def merge(folder: Path, count: int) -> None:
    from medsmith.preparation import merge as write

    assert len(write([folder / "whole", folder / "few"], folder / "merged")) == count + FEW


def join(folder: Path, count: int) -> None:
    from medsmith.synthesis import join_shards

    assert len(join_shards([folder / "part"], folder / "joined")) == count


def ten_cases(folder: Path, count: int) -> None:
    """A small cohort to merge with."""
    from medsmith.synthesis import synthesize as make

    make(folder / "run", folder / "few", count=count, workers=1, options=_options())


def nothing(_folder: Path, _count: int) -> None:
    """What the imports take, which every step has behind it."""
    import medsmith.preparation
    import medsmith.synthesis.tar_shards.making
    import medsmith.synthesis.tar_shards.unpacking  # noqa: F401


Step = Callable[[Path, int], None]
STEPS: Mapping[str, Step] = {
    "ten cases": ten_cases,
    "nothing": nothing,
    "synthesize": synthesize,
    "synthesize again": synthesize,
    "open": open_folder,
    "check": check,
    "merge": merge,
    "join parts": join,
    "tar shards": shards,
    "unpack": unpack,
}


def measured(name: str, step: Step, folder: Path, count: int) -> dict[str, float]:
    """A step in a process of its own: a fork, which has everything imported."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(taken_by(step, folder, count)).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{name} of {count} cases failed")
    found: dict[str, float] = json.loads(answer)
    print(f"{count} cases: {name}: {answer.decode()}", flush=True)
    return found


def taken_by(step: Step, folder: Path, count: int) -> dict[str, float]:
    """Time and memory of a step that runs here."""
    os.fsync = _not_synced
    started, before = time.monotonic(), time.process_time()
    step(folder, count)
    return {
        "seconds": round(time.monotonic() - started, 2),
        "processor_seconds": round(time.process_time() - before, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def measure_all(folder: Path, count: int, rows: dict[str, dict[str, float]], save: Callable[[], None]) -> None:
    """All steps for so many cases; ``rows`` receives each when it is done."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "run").mkdir(parents=True)
    measured("ten cases", ten_cases, folder, FEW)
    for step in list(STEPS)[1:]:
        if step == "join parts":
            as_one_part(folder)
        rows[step] = {"cases": count + FEW * (step == "merge")} | measured(step, STEPS[step], folder, count)
        save()
        for made in ("merged", "joined", "unpacked"):
            shutil.rmtree(folder / made, ignore_errors=True)
    shutil.rmtree(folder)


def as_one_part(folder: Path) -> None:
    """Makes all cases the one part of a synthesis of one part."""
    (folder / "whole").rename(folder / "part")
    plan = folder / "part" / "synthesis.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"shard": "1/1"}))


def result_of(script: str, cases: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """The result so far; growth of a step is from its first number of cases to its last."""
    counts = sorted(cases, key=int)
    rows = {step: [cases[count][step] for count in counts if step in cases[count]] for step in cases[counts[0]]}
    ends = {step: (each[0], each[-1]) for step, each in rows.items() if len(each) > 1}
    return {
        "command": f"python benchmarks/core/{script} FOLDER {' '.join(cases)}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": {name: metadata.version(name) for name in ("torch", "numpy")},
        "cases": cases,
        "times_the_cases": {step: round(many["cases"] / few["cases"], 1) for step, (few, many) in ends.items()},
        "times_the_processor_seconds": {
            step: round(many["processor_seconds"] / max(few["processor_seconds"], 0.01), 1)
            for step, (few, many) in ends.items()
        },
        "bytes_of_memory_per_case": {
            step: round((many["peak_mib"] - few["peak_mib"]) * 2**20 / (many["cases"] - few["cases"]))
            for step, (few, many) in ends.items()
        },
    }


def main(folder: Path, counts: tuple[int, ...]) -> None:
    """Measure, write after each step, print."""
    nothing(folder, 0)
    cases: dict[str, dict[str, dict[str, float]]] = {}

    def save() -> None:
        (HERE / "growth.json").write_text(json.dumps(result_of("growth.py", cases), indent=2) + "\n")

    for count in counts:
        measure_all(folder / str(count), count, cases.setdefault(str(count), {}), save)
    print(json.dumps(result_of("growth.py", cases), indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(int(text) for text in sys.argv[2:]) or COUNTS)
