"""Peak memory of training on a small and a large cohort of volumes.

CT phantoms of 64 x 64 x 64 with the lesion as their one label; the large cohort holds the small one's phantoms again
and again, each time under other noise. PIG on the full grid, 3 steps of each stage, float32, one thread, with a narrow
network: its activations, which do not depend on the number of cases, then hide little. The peak is the resident set
of the process at its largest (ru_maxrss of wait4), mapped files counted in.

Writes training_memory.json beside this file. Run: python benchmarks/core/training_memory.py FOLDER [SMALL] [LARGE]
"""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom

HERE = Path(__file__).parent
SMALL, LARGE, EDGE = 50, 2000, 64
NAMES = {"background": 0, "lesion": 1}
SETTINGS = (
    f"size=[{EDGE},{EDGE},{EDGE}]",
    "training.batch=2",
    "training.precision=float32",
    "training.flips=[]",
    "network.channels=[8,16,32]",
)


def cohort_of(folder: Path, source: Cohort, count: int) -> Path:
    """``count`` volumes made from the source's, one label each."""
    out = Cohort.create(folder, channel_names=source.channel_names, label_names=NAMES, file_ending=".nii.gz")
    lesion = source.label_names["lesion"]
    for index in range(count):
        id = f"case_{index:05d}"
        if id in out:
            continue
        case = source[source.ids[index % len(source)]]
        image = case.require_image()
        noise = np.random.default_rng(index).normal(0, 5, image.shape)
        out.write(
            replace(
                case,
                id=id,
                image=np.rint(image + noise).astype(np.float32),
                labels=(case.require_labels() == lesion).astype(np.uint8),
                label_names=NAMES,
                report=None,
                provenance=None,
            )
        )
    out.finish()
    return folder


def peak_of(cohort: Path, run: Path) -> dict[str, float]:
    """Peak resident set and seconds of one training."""
    command = [sys.executable, "-m", "medsmith", "train", "pig", str(cohort), "--run", str(run), "--max-steps", "3"]
    for setting in SETTINGS:
        command += ["--set", setting]
    started = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"training on {cohort} ended with status {status}")
    return {"peak_mib": usage.ru_maxrss / 1024, "seconds": round(time.monotonic() - started, 1)}


def main(folder: Path, small: int, large: int) -> None:
    """Draw, train, write."""
    source = write_phantom(find_family("ct"), folder / "phantoms", min(small, SMALL), 0, EDGE)
    rows = {}
    for count in (small, large):
        cohort = cohort_of(folder / f"cohort-{count}", source, count)
        rows[str(count)] = peak_of(cohort, folder / f"run-{count}")
    result = {
        "command": "python benchmarks/core/training_memory.py FOLDER",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {name: metadata.version(name) for name in ("torch", "numpy")},
        "settings": SETTINGS,
        "cases": rows,
        "ratio": round(rows[str(large)]["peak_mib"] / rows[str(small)]["peak_mib"], 3),
    }
    (HERE / "training_memory.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    counts = [int(text) for text in sys.argv[2:4]]
    main(Path(sys.argv[1]), *(counts + [SMALL, LARGE][len(counts) :]))
