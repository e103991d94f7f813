"""What a volume costs and how near it comes: rectified flow in few steps, and DDPM in 1,000, as diffusion models began.

    python benchmarks/lldm/sampling_cost.py WORK [--minutes 20] [--count 12] [--steps 5,10,20] [--size 32,48,32]

Both are latent diffusion models of WORK/images with the same networks, steps and minutes of training (lldm_rows.py:
ldm-kl and ldm-ddpm); the second has a scaled-linear schedule of 1,000 times and predicts noise. Seconds: median over
the volumes, one at a time on one thread, with decoding. Distances as in lldm_table.py. Volumes stay in WORK/sampling,
with their seconds, so that an interrupted call continues. The result goes to sampling_cost-DATA.json beside this file.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lldm_rows import SEED, trained
from lldm_shared import fingerprint_of
from lldm_table import VOLUMES, distance, evenly, extractors_in, features_of

from medsmith import Cohort
from medsmith.cases.case import Case
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.diffusion import Sampling, derive_seed
from medsmith.errors import MedsmithError
from medsmith.evaluation.fidelity.radiomics import standardize
from medsmith.evaluation.fidelity.views import common_view_spec
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.methods.base import Method
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
FLOW, DDPM, DDPM_STEPS = "ldm-kl", "ldm-ddpm", 1000


def ways(steps: Sequence[int]) -> Iterator[tuple[str, str, Sampling]]:
    """Name, run and sampling of each way."""
    for count in steps:
        yield f"rectified flow, {count} steps", FLOW, Sampling(solver="euler", steps=count)
    yield f"DDPM, {DDPM_STEPS} steps", DDPM, Sampling(solver="ddpm", steps=DDPM_STEPS)


def sampled(method: Method, sampling: Sampling, out: Path, count: int) -> tuple[Cohort, float]:
    """Volumes, and the median of their seconds; what is there already is kept."""
    names, channels = {"background": 0}, method.fingerprint.channel_names
    cohort = Cohort.create(out, channel_names=channels, label_names=names, file_ending=".nii.gz")
    with ConsoleProgress().task(out.name, count) as advance:
        for index in range(count):
            id = f"case-{index:04d}"
            if id not in cohort:
                start = time.monotonic()
                made = method.synthesize(method.Request(), derive_seed(SEED, index), sampling)
                record = {"synthetic": True, "seconds": time.monotonic() - start}
                stored = np.dtype(np.float32)
                cohort.write(Case(id, made.image, None, made.geometry, channels, names, stored, provenance=record))
            advance(1, id)
    cohort.finish()
    seconds = [read_json(path)["seconds"] for path in (out / PROVENANCE).glob("*.json")]
    return Cohort.open(out), float(np.median(seconds))


def main(asked: argparse.Namespace) -> None:
    """Every way on the same test volumes."""
    torch.set_num_threads(1)
    size = [int(edge) for edge in asked.size.split(",")]
    test, training = Cohort.open(asked.work / "test"), Cohort.open(asked.work / "images")
    extractors = extractors_in(asked.work)
    fingerprint = fingerprint_of(test)
    spec = common_view_spec(fingerprint, fingerprint, size=asked.edge, channel=None)
    real, count = features_of(test, spec, extractors), min(asked.count, len(test))

    def row(name: str, cohort: Cohort, seconds: float | None) -> Mapping[str, Any]:
        pairs = {part: (real[part], found) for part, found in features_of(cohort, spec, extractors).items()}
        pairs[VOLUMES] = standardize(*pairs[VOLUMES])
        distances = {part: distance(*pair) for part, pair in pairs.items()}
        print(name, seconds, {part: round(value[0], 1) for part, value in distances.items()}, flush=True)
        return {"way": name, "n": len(cohort), "seconds": seconds, "distances": distances}

    rows = [row("real, other cases (floor)", training.subset(evenly(training.ids, count)), None)]
    for name, run, sampling in ways([int(steps) for steps in asked.steps.split(",")]):
        method = load_method(trained(asked.work, run, size, asked.minutes))
        out = asked.work / "sampling" / f"{run}-{sampling.steps}"
        rows.append(row(name, *sampled(method, sampling, out, count)))
    write_json(HERE / f"sampling_cost-{asked.data}.json", {"rows": rows, "minutes": asked.minutes, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--steps", default="5,10,20")
    parser.add_argument("--size", default="32,48,32")
    parser.add_argument("--edge", type=int, default=48)
    parser.add_argument("--data", default="hippocampus")
    try:
        main(parser.parse_args())
    except MedsmithError as error:
        sys.exit(error.line)
