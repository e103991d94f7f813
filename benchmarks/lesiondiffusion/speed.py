"""What a lesion costs: the paper's recipe against ours on the same weights, and what each measure contributes.

python benchmarks/lesiondiffusion/speed.py RUN TEMPLATES REAL OUT [--pairs 24] [--lesions 40] [--paper-steps 2]

TEMPLATES are healthy phantoms, REAL phantoms with lesions that no network saw. One process per recipe, one thread,
processor seconds: other work on the machine does not count. What LMNet draws is timed and then replaced by an
ellipsoid, so that every recipe paints the same region, and a walk that is cut short leaves something to paint.

Quality is measured for the recipes of QUALITY: AUC of the sphericity of finished masks, round-like against irregular,
and the Fréchet distance of radiomic vectors to REAL's, with its floor between halves of REAL. OUT keeps every time,
pair and vector: the same command continues. Findings go to speed.json beside this file.

Where a cube has 128 voxels per edge and the walk 200 steps, a lesion takes about an hour: --paper-steps are timed, the
JSON says so in "calls_timed", and "seconds" is left out; --paper-steps 200 times a whole lesion. Beside that the times
take 15 minutes; quality with the defaults 70 minutes, nearly all for 200 steps.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from quality import alignment, frechet, reports_of, suited
from recipes import CONSUMERS, PAPER, RECIPES, Recipe, cooked, text_difference
from record import claim

from medsmith import Cohort, load_method
from medsmith.cases.case_ref import CaseRef
from medsmith.diffusion import Sampling
from medsmith.errors import RequestError
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.insertion.context import context_channels
from medsmith.machine import facts
from medsmith.methods.lesiondiffusion.generator import EllipsoidSampler
from medsmith.networks.precision import Compute
from medsmith.reports.schema import LesionReport
from medsmith.runs.checkpoints import build_method, find_run, read_record

HERE = Path(__file__).parent
QUALITY = ("paper", "paper, our cube", "ours", "ours without bfloat16")
MIB = 2**20
FEW = Sampling(solver="dpm++2m", steps=2)
Item = tuple[str, LesionReport, int]


class Clock:
    """Processor seconds and entries of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        self.calls[name] = self.calls.get(name, 0) + 1

    def watch(self, module: torch.nn.Module, name: str) -> None:
        """Count and time every pass of a network."""
        plain = module.forward

        def timed(*inputs: torch.Tensor) -> Any:
            with self.part(name):
                return plain(*inputs)

        module.forward = timed


@dataclass(frozen=True)
class Replaced:
    """A shaper whose shapes are drawn and thrown away for ellipsoids."""

    shape: Callable[..., Any]

    def __call__(self, *seen: Any, **named: Any) -> Any:
        self.shape(*seen, **named)
        return EllipsoidSampler()(*seen, **named)


def main(asked: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    templates, real = Cohort.open(asked.templates), Cohort.open(asked.real)
    reports, method = reports_of(real), load_method(asked.run)
    claim(asked.out, method.weights_hash)
    items = placed(method, templates, reports, asked.repeats)
    times = {name: timing(name, asked, items) for name in RECIPES}
    quality = {}
    for name in QUALITY:
        wide = RECIPES[name].cube == PAPER.cube
        pairs, lesions = (asked.wide_pairs, asked.wide_lesions) if wide else (asked.pairs, asked.lesions)
        with cooked(asked.run, RECIPES[name]) as cook:
            walk, folder = RECIPES[name].sampling, asked.out / slug(name)
            quality[name] = {
                "alignment": alignment(cook, templates, walk, pairs, folder) if pairs else None,
                "frechet": frechet(cook, templates, real, reports, walk, lesions, folder) if lesions else None,
            }
    rows = {
        name: {
            "recipe": asdict(RECIPES[name]),
            "network_calls": RECIPES[name].calls,
            **times[name],
            **quality.get(name, {}),
        }
        for name in RECIPES
    }
    found = {
        "order": list(rows),
        "recipes": rows,
        "faster": faster(rows),
        "space_to_depth": kept(asked.out / "space-to-depth.json", lambda: folding(asked.run)),
        "text_difference": text_difference(),
        "facts": {**facts(), "weights": method.weights_hash},
    }
    write_json(HERE / "speed.json", found)
    print(json.dumps({name: row["seconds_by_calls"] for name, row in rows.items()}, indent=1), found["faster"])


def placed(method: Any, templates: Cohort, reports: list[LesionReport], count: int) -> list[Item]:
    """Templates, reports and seeds that have a place for each other."""
    found: list[Item] = []
    for number in range(len(reports)):
        template = suited(templates, reports[number], number)
        if template is not None and len(found) < count and fits(method, templates, template, reports[number], number):
            found.append((template, reports[number], number))
    return found


def fits(method: Any, templates: Cohort, template: str, report: LesionReport, seed: int) -> bool:
    request = method.Request(templates=CaseRef(cohort=templates.root, case=template), lesions=(report,), attempts=1)
    try:
        method.synthesize(request, seed, FEW)
    except RequestError:
        return False
    return True


def timing(name: str, asked: argparse.Namespace, items: list[Item]) -> Mapping[str, Any]:
    """Times of one recipe, in a process of its own so that its memory is its own."""

    def measured() -> Mapping[str, Any]:
        recipe = RECIPES[name]
        wide = recipe.cube == PAPER.cube
        steps = min(recipe.steps, asked.paper_steps) if wide and recipe.walk == PAPER.walk else recipe.steps
        chosen = items[: 1 if wide else asked.repeats]
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(timed, asked.run, asked.templates, recipe, steps, chosen).result()

    return kept(asked.out / f"time-{slug(name)}-{asked.paper_steps}-{asked.repeats}.json", measured)


def timed(run: str, templates: Path, recipe: Recipe, steps: int, items: list[Item]) -> Mapping[str, Any]:
    """Processor seconds and memory of some lesions by one recipe."""
    torch.set_num_threads(1)
    clock = Clock()
    with cooked(run, recipe, lambda: clock.part("text")) as method:
        clock.watch(method.lmnet, "lmnet")
        clock.watch(method.linet, "linet")
        plain = method._generator

        def generator(*given: Any) -> Any:
            found = plain(*given)
            return replace(found, sample_mask=Replaced(found.sample_mask), levels=(0.0,))

        def paint(item: Item, count: int) -> float:
            template, report, seed = item
            request = method.Request(templates=CaseRef(cohort=templates, case=template), lesions=(report,), attempts=1)
            start = time.process_time()
            method.synthesize(request, seed, recipe.sampling.override(steps=count))
            return time.process_time() - start

        with patch.object(method, "_generator", generator):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            paint(items[0], 1)  # warms up
            clock.seconds, clock.calls = {}, {}
            totals = [paint(item, steps) for item in items]
    return summed_up(recipe, steps, totals, clock) | {
        "memory_mib": {
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB,
            "before_the_first_lesion": before * 1024 / MIB,
        }
    }


def summed_up(recipe: Recipe, steps: int, totals: list[float], clock: Clock) -> dict[str, Any]:
    """Per lesion; "seconds" only where whole lesions were timed, "seconds_by_calls" from the calls that were."""
    each = {name: clock.seconds.get(name, 0.0) / max(clock.calls.get(name, 0), 1) for name in ("lmnet", "linet")}
    text = clock.seconds.get("text", 0.0) / len(totals)
    rest = (sum(totals) - sum(clock.seconds.values())) / len(totals)
    return {
        "n": len(totals),
        "steps_timed": steps,
        "calls_timed": {name: clock.calls.get(name, 0) for name in each},
        "seconds_per_call": each,
        "seconds_text": text,
        "seconds_rest": rest,
        "seconds": median(totals) if steps == recipe.steps else None,
        "seconds_by_calls": recipe.calls / 2 * sum(each.values()) + text + rest,
        "all_seconds": totals,
    }


def faster(rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, float]:
    """How many times as long as ours every other recipe takes, by the calls that were timed."""
    ours = rows["ours"]["seconds_by_calls"]
    return {name: row["seconds_by_calls"] / ours for name, row in rows.items() if name != "ours"}


def folding(run: str) -> Mapping[str, Any]:
    """Seconds of one call on our cube with voxels folded into channels (the weights) and without (fresh weights)."""
    record = read_record(find_run(run))
    plain = json.loads(json.dumps(record.config))
    for part in ("mask", "paint"):
        plain[part]["network"]["space_to_depth"] = 1
    methods = {"folded": load_method(run), "not folded": build_method(record.model_copy(update={"config": plain}), 0)}
    return {"calls_timed": 4, **{name: calls(method.eval()) for name, method in methods.items()}}


@torch.inference_mode()
def calls(method: Any) -> Mapping[str, float]:
    """Median processor seconds of one bfloat16 call of each network."""
    config, t = method.config, torch.tensor([500])
    small, wide = ((1, 1, *[edge] * 3) for edge in (config.mask.frame.size, config.paint.frame.size))
    site = torch.randn(1, context_channels(config.mask.organs), *small[2:])
    words = {name: method.vocabulary(name).null for name in CONSUMERS}
    passes = {
        "lmnet": lambda: method.lmnet(torch.randn(small), t, site, words["mask"]),
        "linet": lambda: method.linet(torch.randn(wide), t, torch.ones(wide), torch.ones(wide), words["image"]),
    }
    for name in passes:
        Compute(precision="bfloat16").apply_to(method.part(name))
    return {name: median([seconds(each) for _ in range(5)][1:]) for name, each in passes.items()}


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def kept(path: Path, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the file holds, or what the work finds, which the file holds then."""
    if not path.exists():
        write_json(path, work())
    found: Mapping[str, Any] = read_json(path)
    return found


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "templates", "real", "out"):
        parser.add_argument(name, type=str if name == "run" else Path)
    parser.add_argument("--repeats", type=int, default=3, help="lesions timed by each recipe in our cube")
    parser.add_argument("--paper-steps", type=int, default=2, help="steps of the paper's 200 that are timed")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of masks by each recipe in our cube")
    parser.add_argument("--lesions", type=int, default=40, help="painted lesions by each recipe in our cube")
    parser.add_argument("--wide-pairs", type=int, default=0, help="the same in cubes of 128 voxels: hours each")
    parser.add_argument("--wide-lesions", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main(arguments())
