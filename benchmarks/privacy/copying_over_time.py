"""When a generator begins to copy: share of copies and membership advantage over training time.

    python benchmarks/privacy/copying_over_time.py METHOD TRAIN HELD_OUT WORK [--steps 125,250,500,1000,2000]

One training is continued from one number of steps (of each stage) to the next; after each, cases are drawn without any
check and compared with the training cases as `medsmith privacy` does. HELD_OUT are real cases of other scenes, which
set the threshold. TRAIN of the figures has the 40 images of breast-us that `medsmith split --by-scene` takes from the
training part, HELD_OUT is the test part. Everything is kept in WORK, so that the same call continues. The result,
copying-METHOD.json, and its picture, copying-METHOD.png, go beside this file; write_table.py puts them into
docs/privacy.md.
"""

import argparse
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medsmith import Budget, Cohort, train
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError
from medsmith.evaluation.pages.figures import REAL, SYNTHETIC
from medsmith.evaluation.privacy.measuring import measure_privacy
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent


def main(asked: argparse.Namespace) -> None:
    """Train, draw, search, and write after every number of steps."""
    train_cohort, rows = Cohort.open(asked.train), []
    path = HERE / f"copying-{asked.method}.json"
    for steps in map(int, asked.steps.split(",")):
        made = drawn(asked, train_cohort, steps)
        progress = ConsoleProgress()
        found = measure_privacy(made, train_cohort, made.root.with_name(f"privacy-{steps}"), held_out=asked.held_out,
                                progress=progress)  # fmt: skip
        assert found.images is not None
        whole = found.images.as_json()
        lesions = None if found.lesions is None else found.lesions.found.flagged.as_json()
        rows.append({"steps": steps, **{key: whole[key] for key in ("flagged", "training_cases_copied", "membership")},
                     "held_out": whole["held_out"], "lesion_regions": lesions})  # fmt: skip
        record: dict[str, Any] = {"method": asked.method, "training": len(train_cohort), "drawn": asked.count,
                                  "size": asked.size, "rows": rows, "facts": facts()}  # fmt: skip
        write_json(path, record)
        write_bytes(path.with_suffix(".png"), picture(record))
        print(f"{steps} steps: {found.images.found.flagged}", flush=True)


def drawn(asked: argparse.Namespace, cohort: Cohort, steps: int) -> Cohort:
    """Cases of the training after so many steps, without checks."""
    out = asked.work / f"made-{steps}"
    if not (out / "dataset.json").exists() or len(Cohort.open(out)) < asked.count:
        settings = [f"size=[{asked.size},{asked.size}]"]
        progress = ConsoleProgress()
        run = asked.work / "run"
        train(asked.method, cohort, run, settings=settings, budget=Budget(steps=steps), progress=progress)
        trained = {name: each["done"] for name, each in read_json(run / "run.json")["steps"].items()}
        if set(trained.values()) != {steps}:
            raise RequestError("--steps", f"{run} has {trained}, {steps} asked for", cure="choose another WORK")
        method = load_method(run)
        made = Cohort.create(out, channel_names=cohort.channel_names, label_names=cohort.label_names,
                             file_ending=cohort.file_ending)  # fmt: skip
        with progress.task(f"draw after {steps} steps", asked.count) as advance:
            for number in range(asked.count):
                case = method.synthesize(method.Request(), derive_seed(0, number), method.config.sampling)
                id = f"{asked.method}_{number:05d}"
                if id not in made:
                    made.write(replace(case, id=id, provenance=None))
                advance(1, "")
        made.finish()
    return Cohort.open(out)


def picture(record: dict[str, Any]) -> bytes:
    """The share of copies with its interval, and the advantage with the level that chance reaches."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    steps = [row["steps"] for row in record["rows"]]
    flagged, told = ([row[name] for row in record["rows"]] for name in ("flagged", "membership"))
    errors = [[each["value"] - each["low"] for each in flagged], [each["high"] - each["value"] for each in flagged]]
    shares = [each["value"] for each in flagged]
    axes.errorbar(steps, shares, yerr=errors, fmt="o-", color=SYNTHETIC, capsize=3, label="copies among drawn cases")
    axes.plot(steps, [each["advantage"]["value"] for each in told], "s--", color=REAL, label="membership advantage")
    chance = [each["advantage_by_chance"] for each in told]
    axes.plot(steps, chance, ":", color=REAL, label="membership advantage by chance (95 %)")
    axes.set(xscale="log", xlabel="training steps of each stage", ylabel="share", ylim=(0, 1.02), xticks=steps)
    axes.set_xticklabels(list(map(str, steps)))
    axes.minorticks_off()
    axes.set_title(f"{record['method']} on {record['training']} cases, {record['drawn']} drawn", fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    for name in ("train", "held_out", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", default="125,250,500,1000,2000")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--size", type=int, default=64)
    try:
        main(parser.parse_args())
    except MedsmithError as error:
        sys.exit(error.line)
