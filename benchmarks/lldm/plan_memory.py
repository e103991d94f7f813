"""Is the memory that ``medsmith plan`` prints right? Planned peak of each stage against that of the training itself.

    python benchmarks/lldm/plan_memory.py WORK [--steps 20] [--set key=value ...]

WORK holds what lldm_cohorts.py writes. The plan tries a few steps on as many cases as a batch has; the training uses
all of WORK/train, one process per stage, each of --steps steps. Peaks are the resident sets of the processes at their
largest (ru_maxrss of wait4), mapped files counted in. The result goes to plan_memory.json beside this file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts

HERE = Path(__file__).parent


def peak_gib(words: Sequence[str]) -> float:
    """Peak resident set of one command."""
    process = subprocess.Popen([sys.executable, "-m", "medsmith", *words])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with status {status}")
    return float(usage.ru_maxrss / 1024**2)


def main(work: Path, steps: int, settings: Sequence[str]) -> None:
    """Plan, train every stage, compare."""
    with tempfile.TemporaryDirectory() as folder:
        plan, run = Path(folder) / "plan.json", Path(folder) / "run"
        changes = [word for setting in settings for word in ("--set", setting)]
        peak_gib(["plan", "lldm", str(work / "train"), str(plan), *changes])
        rows = []
        for stage in read_json(plan)["stages"]:
            words = ["train", "lldm", str(work / "train"), "--run", str(run), "--plan", str(plan)]
            measured = peak_gib([*words, "--stage", stage["name"], "--max-steps", str(steps)])
            rows.append({"stage": stage["name"], "planned_gib": stage["memory_gib"], "measured_gib": measured})
            rows[-1]["planned_over_measured"] = stage["memory_gib"] / measured
            print(rows[-1], flush=True)
        result = {"settings": read_json(plan)["settings"], "steps": steps, "stages": rows, "facts": facts()}
    write_json(HERE / "plan_memory.json", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    main(arguments.work, arguments.steps, arguments.settings)
