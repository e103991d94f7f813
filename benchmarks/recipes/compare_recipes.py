"""Which use of synthetic cases raises the Dice of a segmentation network, over strong augmentation and copy-paste?

    python benchmarks/recipes/compare_recipes.py breast FOLDER WORK [--sizes 20,40,80,160] [--subsets 5] [--seeds 1]
    python benchmarks/recipes/compare_recipes.py chest FOLDER WORK
    python benchmarks/recipes/compare_recipes.py hippocampus FOLDER WORK
    python benchmarks/recipes/compare_recipes.py sarcoma FOLDER WORK
    python benchmarks/recipes/compare_recipes.py sarcoma-ct FOLDER WORK

FOLDER: data as shared, with images/ and labels/. WORK then holds train and test, split by scene or patient:
no test image shows one of training. Subsets of whole scenes or patients are drawn as disjoint as possible, and
generators are trained again on each. The arms are below; all but one take equal gradient steps, and where two sources
of cases are mixed, half of each batch is synthetic or pseudo-labeled:

R, flips only; R (strong augmentation: every gain is over this arm); R, twice the steps; R + copy-paste as augmentation;
R + cases of each source of the data set, such as copypaste, phantoms, pig, segguided for deformed maps of the
subset, and segguided that saw the images of all other training cases without their labels; R + those images with the
labels that the network of R predicts; phantoms alone in the first half of the steps, then R alone.

The result, recipes-DATA.json, is written after every subset and keeps the sizes of other calls; what is done is kept in
WORK, so that the same call continues.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from recipe_data import DATA, DataSet
from recipe_draws import Draw, Part, by_scene, in_turn, sharing, tested_on
from recipe_phantoms import PHANTOMS
from recipe_sources import Subset, loaded
from recipe_trials import AUGMENTED, BASE, BEFORE, MIXED, PASTE, SELF, Trial, sources_of

from medsmith import Cohort
from medsmith.errors import MedsmithError, RequestError
from medsmith.evaluation.downstream.intervals import hierarchical_mean, spread_of
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.evaluation.downstream.scores import by_patient
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.preparation import split

HERE = Path(__file__).parent


def cohorts(data: DataSet, source: Path, work: Path) -> None:
    """WORK/train and WORK/test, split by scene or patient, or WORK/train alone."""
    every = data.prepared(source, work)
    if data.test_share is not None:
        scenes = data.scenes(every)
        split(every, work / "train", work / "test", test_fraction=data.test_share, seed=0, scenes=scenes, report=print)


def check_options(asked: argparse.Namespace) -> None:
    """What is kept in WORK is of equal settings.

    Raises:
        RequestError: WORK was begun with others.
    """
    now = {name: getattr(asked, name) for name in ("data", "edge", "steps", "count", "batch")}
    path = asked.work / "options.json"
    before = read_json(path) if path.exists() else now
    for name in now:
        if before[name] != now[name]:
            limit = f"{asked.work} was begun with {before[name]}"
            raise RequestError(f"--{name}", f"{now[name]}", limit, "choose another WORK")
    write_json(path, now)


def draws_of(asked: argparse.Namespace, size: int, real: LoadedCohort, test: LoadedCohort | None) -> list[Draw]:
    """The subsets of a size with their test cases."""
    data, work = DATA[asked.data], asked.work
    made = ((asked.edge,) * data.dimensions, asked.steps, asked.count, data)
    if test is not None:
        drawn = by_scene(data.scenes(Cohort.open(work / "train")), size, asked.subsets)
        return [(Part(Subset(work, f"{size}-{number}", ids, *made), test),) for number, ids in enumerate(drawn)]
    folds = (enumerate(in_turn(real.ids, size, data.parts, number)) for number in range(asked.subsets))
    return [
        tuple(tested_on(real, Subset(work, f"{size}-{number}-{fold}", ids, *made), out) for fold, (ids, out) in each)
        for number, each in enumerate(folds)
    ]


def dice_of(draw: Draw, arm: str, seed: int, asked: argparse.Namespace, real: LoadedCohort) -> np.ndarray:
    """Dice of each test case of a draw, by their ids."""
    config = segmenter_of(asked)
    found = [Trial(part.subset, arm, seed, config, asked.edge).dice(real, part.test) for part in draw]
    return np.concatenate(found)[np.argsort([id for part in draw for id in part.test.ids], kind="stable")]


def segmenter_of(asked: argparse.Namespace) -> SegmenterConfig:
    """Of every network."""
    return SegmenterConfig(steps=asked.course, batch=asked.batch)


def owners(data: DataSet, work: Path) -> Int64[np.ndarray, " cases"]:
    """The number of the scene or patient of each test case, in the order of the cases."""
    tested = Cohort.open(work / ("train" if data.test_share is None else "test"))
    scenes = data.scenes(tested)
    return np.unique([scenes[id] for id in tested.ids], return_inverse=True)[1].astype(np.int64)


def unseen(data: DataSet, work: Path, owner: Int64[np.ndarray, " cases"]) -> Bool[np.ndarray, " patients"]:
    """The scenes or patients, none of whose cases the designer of the phantoms has looked at."""
    tested = Cohort.open(work / ("train" if data.test_share is None else "test"))
    looked_at = np.array([id in data.looked_at for id in tested.ids])
    return ~np.isin(np.arange(owner.max() + 1), owner[looked_at])


def rows(
    draws: Sequence[Draw],
    scores: Mapping[str, Sequence[Sequence[np.ndarray]]],
    owner: Int64[np.ndarray, " cases"],
    others: Bool[np.ndarray, " patients"],
) -> list[dict[str, Any]]:
    """Dice of every arm by scene or patient, and its gain over R and over copy-paste, over the draws that are done.

    Args:
        draws: of a size.
        scores: arm -> draw -> seed -> Dice of the test cases.
        owner: number of the scene or patient of each test case.
        others: scenes or patients that nobody looked at before the phantoms were designed.
    """
    done = draws[: len(scores[BASE])]
    subsets, shared = [part.subset for draw in done for part in draw], sharing(done)
    found = {
        arm: by_patient(np.array(values)[..., None], owner)
        for arm, values in scores.items()
        if len(values) == len(done)
    }
    left_out = {each.name: each.left_out() for each in subsets if each.left_out()}
    about = {"cases": len(subsets[0].ids), "subsets": len(subsets), "seeds": found[BASE].shape[1], "left_out": left_out}
    return [
        {
            **about,
            "arm": arm,
            "dice": hierarchical_mean(values, shared).as_json(),
            **({} if arm == BASE else {"p over R": p_of(100 * (values - found[BASE]), shared)}),
            **{
                f"over {base}": hierarchical_mean(100 * (values - found[base]), shared).as_json()
                for base in (BASE, PASTE)
                if base in found and arm not in (base, BASE)
            },
            **{
                f"over {base}, patients not looked at": hierarchical_mean(
                    100 * (values - found[base])[..., others], shared
                ).as_json()
                for base in (BASE, PASTE)
                if base in found and PHANTOMS in sources_of(arm) and not others.all() and others.any()
            },
        }
        for arm, values in found.items()
    ]


def p_of(gains: Float64[np.ndarray, "subsets seeds owners"], shared: float) -> float:
    """Probability of a mean gain at least as far from 0, uncorrected."""
    return spread_of(gains, shared).p_value(float(gains.mean()))


def main(asked: argparse.Namespace) -> None:
    """Every size in turn."""
    torch.set_num_threads(1)
    asked.work.mkdir(parents=True, exist_ok=True)
    check_options(asked)
    cohorts(DATA[asked.data], asked.source, asked.work)
    data = DATA[asked.data]
    real = loaded(Cohort.open(asked.work / "train"), asked.edge, data.window)
    apart = data.test_share is not None
    test = loaded(Cohort.open(asked.work / "test"), asked.edge, data.window) if apart else None
    about = {"data": asked.data, "grid": asked.edge, "steps of a generator": asked.steps, "synthetic": asked.count,
             "segmenter": segmenter_of(asked).model_dump()}  # fmt: skip
    path = HERE / f"recipes-{asked.data}.json"
    sizes = tuple(map(int, asked.sizes.split(",")))
    every, calls = of_other_sizes(path, about, sizes)
    owner = owners(data, asked.work)
    others = unseen(data, asked.work, owner)
    for size in sizes:
        calls[str(size)] = facts()
        scores: dict[str, list[list[np.ndarray]]] = {arm: [] for arm in asked.arms.split(";")}
        draws = draws_of(asked, size, real, test)
        for draw in draws:
            for arm in scores:
                sources = sources_of(arm)
                if all(part.subset.synthetic(source) is not None for source in sources for part in draw):
                    scores[arm].append([dice_of(draw, arm, seed, asked, real) for seed in range(asked.seeds)])
            found = rows(draws, scores, owner, others)
            together = sorted([*every, *found], key=lambda row: row["cases"])
            write_json(path, {**about, "rows": together, "calls": calls})
        every += found
        print(*(f"{row['cases']} {row['arm']}: {row['dice']['value']:.3f}" for row in found), sep="\n", flush=True)


def of_other_sizes(
    path: Path, about: Mapping[str, Any], sizes: Sequence[int]
) -> tuple[list[dict[str, Any]], dict[str, Mapping[str, Any]]]:
    """Rows and calls of earlier results with the same settings, but for sizes that are measured again."""
    if not path.exists():
        return [], {}
    before = read_json(path)
    if any(before[name] != value for name, value in about.items()):
        return [], {}
    rows = [row for row in before["rows"] if row["cases"] not in sizes]
    return rows, {size: call for size, call in before["calls"].items() if int(size) not in sizes}


def arms_of(data: DataSet) -> tuple[str, ...]:
    """The arms for which the data set has what they need."""
    mixed = (arm for arm in (*MIXED, *BEFORE) if data.makes.issuperset(sources_of(arm)))
    # Where every case is tested, the images beside a subset are those of the test.
    return (*AUGMENTED, *mixed, *(() if data.test_share is None else (SELF,)))


def parsed() -> argparse.Namespace:
    """The command line; every data set has defaults of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parsers = parser.add_subparsers(dest="data", required=True)
    for name, data in DATA.items():
        one = parsers.add_parser(name, help=data.title, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        one.add_argument("source", type=Path)
        one.add_argument("work", type=Path)
        one.add_argument("--sizes", help="of the subsets, separated by commas")
        one.add_argument("--subsets", type=int, default=5, help="of each size")
        one.add_argument("--seeds", type=int, default=1, help="networks of each subset and arm")
        one.add_argument("--arms", default=";".join(arms_of(data)), help="separated by semicolons; R among them")
        one.add_argument("--edge", type=int, help="of the grid")
        one.add_argument("--steps", type=int, help="of a generator")
        one.add_argument("--count", type=int, help="synthetic cases of each source")
        one.add_argument("--course", type=int, help="steps of a segmentation network")
        one.add_argument("--batch", type=int, help="cases of its batch")
        one.set_defaults(**vars(data.sizes))
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(parsed())
    except MedsmithError as error:
        sys.exit(error.line)
