"""PIG, DDPM, segmentation-guided and latent diffusion on breast ultrasound: PIG's two tables in miniature.

    python benchmarks/pig/run.py SOURCE WORK [METHOD ...]

SOURCE is a folder of image-mask pairs (images/, labels/); WORK keeps cohorts, runs and reports, so that the same
command continues where it was stopped. What it finds goes beside this file: results-<method>.json and
pairs-<method>.png.
"""

import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image

from medsmith import Budget, Cohort, evaluate, prepare, split, synthesize, train
from medsmith.evaluation.compare_cohorts import default_extractors
from medsmith.evaluation.downstream import SegmenterConfig, Utility, UtilityOptions, utility
from medsmith.evaluation.fidelity.extractors import CachedExtractor
from medsmith.evaluation.pages.preview_grid import preview_grid
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.preparation import PrepareOptions
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
SIZE = 64
UPDATES = 4000  # of all networks of a method together: the same budget for each
NETWORKS = {"pig": 2, "ddpm": 1, "segguided": 1, "lldm": 5}
SETTINGS = {"lldm": ("size=[64,64]", "autoencoder_training.batch=16", "training.batch=16", "control_training.batch=16")}
RATIOS = {"pig": (0.5, 1.0, 2.0, 4.0), "ddpm": (1.0,), "segguided": (1.0,), "lldm": (1.0,)}
SEEDS = 3
SEGMENTERS = SegmenterConfig(steps=600, precision="bfloat16")


def cohorts(source: Path, work: Path) -> tuple[Cohort, Cohort, Cohort]:
    """All cases, and training and test split by image."""
    options = PrepareOptions(channel_names=("ultrasound",), label_names={"lesion": 1})
    everything = prepare(source, work / "all", options, report=print)
    return everything, *split(work / "all", work / "train", work / "test", test_fraction=0.2, seed=0, report=print)


def make(method: str, training: Cohort, work: Path) -> Cohort:
    """Train a method and let it make as many cases as its largest ratio needs."""
    budget, settings = Budget(steps=UPDATES // NETWORKS[method]), SETTINGS.get(method, ())
    run = train(method, training, work / method, settings=settings, budget=budget, progress=ConsoleProgress())
    out, count = work / f"{method}-cases", round(max(RATIOS[method]) * len(training))
    print(synthesize(run, out, count=count, seed=0, progress=ConsoleProgress()).line)
    return Cohort.open(out)


def measure(method: str, every: Cohort, training: Cohort, test: Cohort, work: Path) -> Mapping[str, object]:
    """Distances to the real cases, and what the new ones teach."""
    cases = Cohort.open(work / f"{method}-cases")
    report, gain = work / f"{method}-report", work / f"{method}-utility"
    reuse_real_networks(work / "pig-utility", gain)
    kept = [CachedExtractor(extractor, work / "features") for extractor in default_extractors()]
    distances = evaluate(
        every, cases, report, training=training, size=SIZE, extractors=kept, progress=ConsoleProgress()
    )
    worth = utility(
        training,
        cases,
        test,
        gain,
        options=UtilityOptions(cases=(0,), seeds=SEEDS, shares=shares(method), size=SIZE),
        config=SEGMENTERS,
        progress=ConsoleProgress(),
    )
    return {
        "evaluation": distances.as_json(),
        "utility": {**worth.as_json(), "arms": rows_of(worth, method, len(training))},
    }


def shares(method: str) -> tuple[float, ...]:
    """Share of synthetic cases in a batch that is drawn from as many per real case as the ratios say."""
    return tuple(ratio / (1 + ratio) for ratio in RATIOS[method])


def rows_of(worth: Utility, method: str, real: int) -> Mapping[str, object]:
    """The arms as write_readme.py reads them; near-duplicates of training cases are left out of the test anyway."""
    ratios = dict(zip((f"real+{ratio:g}x" for ratio in RATIOS[method]), RATIOS[method], strict=True))
    mixed, most = iter(ratios), max(RATIOS[method])
    known = {"R": ("real", 0.0), "S": ("synthetic", most), "S then R": ("synthetic then real", most)}
    rows = {}
    for result in worth.sizes[0].arms:
        if result.arm.name.startswith("R + S"):
            name = next(mixed)
            ratio = ratios[name]
        elif result.arm.name in known:
            name, ratio = known[result.arm.name]
        else:
            continue
        gain = result.dice.gain.as_json() if result.dice.gain else None
        counts = {"real_cases": real, "synthetic_cases": round(ratio * real), "seeds": list(range(SEEDS))}
        dice = result.dice.value.as_json()
        rows[name] = {**counts, "dice": dice, "gain": gain, "gain_without_near_duplicates": gain}
    return rows


def reuse_real_networks(done: Path, out: Path) -> None:
    """Networks that learn from real cases alone are the same for every method: train them once."""
    for path in done.glob("networks/*/real*.json"):
        copy = out / "networks" / path.parent.name / path.name
        if not path.name.startswith("real-and-synthetic") and not copy.exists():
            write_bytes(copy, path.read_bytes())


def picture(cohort: Cohort, path: Path) -> None:
    """The first sixteen cases, unchosen."""
    data = BytesIO()
    sheet = preview_grid([cohort[id] for id in cohort.ids[:16]], columns=4)
    Image.fromarray(sheet).save(data, "PNG", optimize=True)
    write_bytes(path, data.getvalue())


def main(source: Path, work: Path, methods: Sequence[str]) -> None:
    """Everything, method by method."""
    every, training, test = cohorts(source, work)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    for method in methods:
        picture(make(method, training, work), HERE / f"pairs-{method}.png")
        found = measure(method, every, training, test, work)
        facts = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "updates": UPDATES}
        write_json(HERE / f"results-{method}.json", {**found, "facts": facts})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or tuple(NETWORKS))
