"""What guidance costs: processor seconds a slice, and the share of the corrections beside the network calls.

    python benchmarks/mddpm/cost.py WORK [--run RUN] [--count 24]

One thread. A slice of one request (anatomy, texture, lesion) by the default sampling and by the paper's 1,000 ancestral
steps, of which 50 are timed. Fréchet distance and Dice as in settings.py, for slices of equal seeds by both; they are
kept in WORK/cost, so that an interrupted call continues. The result goes to cost.json beside this file.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import requests
from settings import measure
from torch import Tensor

from medsmith.diffusion import Correction, Sampling, match_low_frequencies
from medsmith.errors import MedsmithError
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.methods.config import validated
from medsmith.methods.mddpm import Mddpm
from medsmith.methods.mddpm.request import MddpmRequest
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
REPEATS, TIMED, ANCESTRAL = 7, 50, 1000


def seconds_of(method: Mddpm, request: MddpmRequest, sampling: Sampling, seed: int) -> Mapping[str, float]:
    """Processor seconds of the parts of one slice."""
    spent = {"network": 0.0, "corrections": 0.0}

    def timed(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Any) -> Tensor:
            start = time.process_time()
            result = function(*arguments)
            spent[name] += time.process_time() - start
            return result

        return call

    start = time.process_time()
    steering = method.steering(request, seed, sampling)
    spent["guides"] = time.process_time() - start
    correction = match_low_frequencies(
        method.process.schedule, *steering.guides.values(), combination=request.combination
    )
    method.process.sample_one(
        timed("network", method.process.denoiser(method.network)),
        (len(method.fingerprint.channel_names), *method.config.size),
        seed,
        sampling,
        corrections=[Correction(timed("corrections", correction.apply))] if steering.guides else [],
    )
    return spent | {"all": time.process_time() - start}


def medians(method: Mddpm, request: MddpmRequest, sampling: Sampling) -> dict[str, float]:
    """Medians over repeats with other seeds."""
    found = [seconds_of(method, request, sampling, seed) for seed in range(REPEATS)]
    return {name: float(np.median([each[name] for each in found])) for name in found[0]}


def main(work: Path, run: Path, count: int) -> None:
    """Both samplings, and the share of the corrections by the number of guides."""
    torch.set_num_threads(1)
    method = load_method(run)
    assert isinstance(method, Mddpm)
    all_rows = requests(work)
    rows = ("unguided", "anatomy", "anatomy-texture", "anatomy-texture-round")
    default = method.config.sampling
    found = {row: medians(method, validated(MddpmRequest, "request", all_rows[row]), default) for row in rows}
    for each in found.values():
        each["corrections_per_network"] = each["corrections"] / each["network"]
    whole = validated(MddpmRequest, "request", all_rows[rows[-1]])
    ancestral = medians(method, whole, Sampling(solver="ddpm", steps=TIMED))
    per_step = (ancestral["all"] - ancestral["guides"]) / TIMED
    seconds = ancestral["guides"] + per_step * ANCESTRAL
    samplings = {"default": default, "ancestral": Sampling(solver="ddpm", steps=ANCESTRAL)}
    quality = {
        name: measure(method, all_rows[rows[-1]], count, work, work / "cost" / name, sampling, "test")
        for name, sampling in samplings.items()
    }
    result = {
        "quality": {"count": count, **quality},
        "default": {"solver": default.solver, "steps": default.steps, "rows": found},
        "ancestral": {"steps": ANCESTRAL, "timed_steps": TIMED, "seconds": seconds},
        "faster": seconds / found[rows[-1]]["all"],
        "repeats": REPEATS,
        "facts": facts(),
    }
    write_json(HERE / "cost.json", result)
    print(result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--count", type=int, default=24)
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.run or arguments.work / "run", arguments.count)
    except MedsmithError as error:
        sys.exit(error.line)
