"""What sampling and training cost: the paper's recipe against ours on the same weights and the same machine.

    python benchmarks/pig/speed.py RUN REAL WORK

RUN is a trained PIG, REAL the cohort it should look like; WORK keeps the cases, so that the same command continues.
Writes speed.json beside this file. Times are processor seconds of one thread: other work on the machine does not count.
"""

import dataclasses
import platform
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

from medsmith import Cohort, evaluate, load_method
from medsmith.data.batches import batches_of
from medsmith.diffusion import Sampling, derive_seed
from medsmith.evaluation.compare_cohorts import default_extractors
from medsmith.evaluation.fidelity.extractors import CachedExtractor
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.methods.base import Method
from medsmith.networks.precision import Compute, Precision
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
CASES = 48
RECIPES: Mapping[str, tuple[Sampling, Precision]] = {
    "DDIM 256, float32 (paper)": (Sampling(solver="ddim", steps=256), "float32"),
    "DDIM 50, bfloat16": (Sampling(solver="ddim", steps=50), "bfloat16"),
    "DPM-Solver++ 20, bfloat16": (Sampling(solver="dpm++2m", steps=20), "bfloat16"),
    "DPM-Solver++ 10, bfloat16": (Sampling(solver="dpm++2m", steps=10), "bfloat16"),
}
FORMATS: tuple[Precision, ...] = ("float32", "bfloat16")


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def lay_out(method: Method, precision: Precision) -> None:
    """Every part of a method in one number format."""
    for stage in method.stages():
        for part in stage.parts:
            Compute(precision=precision).apply_to(method.part(part))


def make(method: Method, recipe: str, real: Cohort, folder: Path) -> list[float]:
    """Cases by one recipe with their times; those that are there are not made again."""
    sampling, precision = RECIPES[recipe]
    lay_out(method, precision)
    cohort = Cohort.create(
        folder, channel_names=real.channel_names, label_names=real.label_names, file_ending=real.file_ending
    )
    clock = folder / "seconds.json"
    taken: dict[str, float] = dict(read_json(clock)) if clock.exists() else {}
    with ConsoleProgress().task(recipe, CASES, len(taken)) as advance:
        for index in range(CASES):
            name = f"case_{index:03d}"
            if name in taken:
                continue
            start = time.process_time()
            case = method.synthesize(method.Request(), derive_seed("speed", index), sampling)
            cohort.write(dataclasses.replace(case, id=name))
            taken[name] = time.process_time() - start
            write_json(clock, taken)
            advance(1, "")
    cohort.finish()
    return list(taken.values())


def training_steps(method: Method, real: Cohort) -> dict[str, float]:
    """Median processor seconds of one step of the image network in each number format."""
    size = method.config.training.batch
    batch = batches_of([method.prepare(real[id]) for id in real.ids[:size]], size, 0)(0)
    method.requires_grad_(True)
    found: dict[str, float] = {}
    for precision in FORMATS:
        lay_out(method, precision)

        def step() -> None:
            torch.autograd.backward(method.loss("image_network", batch, torch.Generator().manual_seed(0)))

        found[precision] = median(seconds(step) for _ in range(7))
    return found


def main(run: Path, real: Cohort, work: Path) -> None:
    """All recipes, then the training step."""
    torch.set_num_threads(1)
    method = load_method(run)
    rows = {}
    kept = [CachedExtractor(extractor, work / "features") for extractor in default_extractors()]
    for number, recipe in enumerate(RECIPES):
        times = make(method, recipe, real, work / f"recipe-{number}")
        cases = Cohort.open(work / f"recipe-{number}")
        report = evaluate(real, cases, work / f"report-{number}", size=64, extractors=kept, progress=ConsoleProgress())
        distances = {name: values["Fréchet distance"].as_json() for name, values in report.distances.items()}
        rows[recipe] = {"median_seconds_per_case": median(times), "n": len(times), "frechet": distances}
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
        "extractors": dict(report.extractors),
    }
    write_json(HERE / "speed.json", {"sampling": rows, "training_step": training_steps(method, real), "facts": facts})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Cohort.open(sys.argv[2]), Path(sys.argv[3]))
