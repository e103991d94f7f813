"""The paper's Table 2 in shape: segmentation with and without synthetic volumes, tested on cases that nothing saw.

    python benchmarks/lldm/segmentation.py WORK [--cases 20,50,0] [--subsets 2] [--networks unet,resunet] [--tasks all]

Real cases: --cases pairs of WORK/train, other ones in each subset; 0 are all of them. The model behind S saw the same
real cases and no others. Arms, at equal gradient steps: real cases with flips alone, with strong augmentation (R), and
with copy-paste besides; R and S from noise, and S with deformed maps of the real cases, half of each batch real. Tasks:
"all" structures at once, or some against the rest (a+b); "each" is "all" and every single one. The first network is
also trained on R for twice the steps: where that raises the Dice by more than a point, the others were trained too
shortly. Dice of WORK/test and its gain over R, with intervals over subsets, seeds and cases; a test case without a
structure is left out of that structure, so that false alarms there do not count. The result: segmentation-DATA.json;
networks that are done are kept in WORK/segmentation, so that an interrupted call continues. Calls with other networks
or tasks add their rows to it.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float64
from lldm_shared import loaded
from lldm_subsets import Subset

from medsmith import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.errors import MedsmithError
from medsmith.evaluation.downstream.architectures import Architecture
from medsmith.evaluation.downstream.augmentation import Augment, StrongAugmentation, random_flip
from medsmith.evaluation.downstream.copy_paste import CopyPaste
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.evaluation.downstream.segmenter import SegmenterConfig, dice_of_cases, mixed, train_segmenter
from medsmith.evaluation.fidelity.bootstrap import mean_over_subsets
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
BASE, LONGER, ALL, BATCH = "R", "R, twice the steps", "all", 2
PRECISION: Mapping[Architecture, Literal["float32", "bfloat16"]] = {"vnet": "float32"}
"""Of networks that diverge in bfloat16, in which the others compute."""
KEY = ("cases", "network", "task", "arm")
STRONG = StrongAugmentation()


ARMS: Mapping[str, tuple[str | None, Augment]] = {
    BASE: (None, STRONG),
    LONGER: (None, STRONG),
    "R, flips only": (None, random_flip),
    "R + copy-paste": (None, CopyPaste().before(STRONG)),
    "R + S": ("generated", STRONG),
    "R + S, deformed maps": ("deformed", STRONG),
}
"""Name -> source of the synthetic cases, and augmentation."""


def for_task(cases: LoadedCohort, task: str, names: Sequence[str]) -> LoadedCohort:
    """The cases with the labels of a task."""
    if task == ALL:
        return cases
    values = [names.index(name) + 1 for name in task.split("+")]
    truth = tuple(np.isin(each, values).astype(np.uint8) for each in cases.truth)
    return replace(cases, labels=torch.isin(cases.labels, torch.tensor(values)).long(), truth=truth)


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """One network of the table.

    Attributes:
        subset: real and synthetic cases.
        seed: of its initial weights and batches.
        network: its architecture.
        task: all structures or one.
        arm: one of ARMS.
        steps: gradient steps.
        edge: of its grid.
    """

    subset: Subset
    seed: int
    network: Architecture
    task: str
    arm: str
    steps: int
    edge: int

    def dice(self, test: LoadedCohort, names: Sequence[str]) -> Float64[np.ndarray, "cases structures"]:
        """Dice of every test case and structure, NaN where it is absent; read where the network is done."""
        source = ARMS[self.arm][0]
        used = self.subset.real if source is None else self._synthetic(source)
        arm = self.arm.replace(",", "").replace(" ", "-")
        words = (self.seed, self.network, self.task, arm, self.steps, self.edge, used.content_hash()[:8])
        kept = self.subset.folder / "dice" / ("_".join(map(str, words)) + ".json")
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"dice": self._measured(for_task(test, self.task, names), names).tolist()})
        truth = for_task(test, self.task, names).truth
        found = np.array(read_json(kept)["dice"], np.float64)
        there = np.array([[(each == value + 1).any() for value in range(found.shape[1])] for each in truth])
        return np.where(there, found, np.nan)

    def _synthetic(self, source: str) -> Cohort:
        found = self.subset.synthetic(source)
        assert found is not None, "arms without synthetic cases are left out"
        return found

    def _measured(self, test: LoadedCohort, names: Sequence[str]) -> Float64[np.ndarray, "cases structures"]:
        classes = len(names) + 1 if self.task == ALL else 2
        source, augment = ARMS[self.arm]
        real = for_task(loaded(self.subset.real, self.edge), self.task, names)
        cases = (real.images, real.labels)
        if source is not None:
            synthetic = for_task(loaded(self._synthetic(source), self.edge), self.task, names)
            cases = mixed(cases, (synthetic.images, synthetic.labels))
        steps = self.steps * (2 if self.arm == LONGER else 1)
        precision = PRECISION.get(self.network, "bfloat16")
        config = SegmenterConfig(architecture=self.network, steps=steps, batch=BATCH, precision=precision)
        name = f"{self.subset.folder.name} seed {self.seed} {self.network} {self.task} {self.arm}"
        with ConsoleProgress().task(name, steps) as advance:
            network = train_segmenter([cases], classes, config, self.seed, advance, augment)
        return dice_of_cases(network, test, classes)


def possible(arms: Sequence[str], subsets: Sequence[Subset]) -> list[str]:
    """The arms whose synthetic cases every subset has."""
    sources = {source for source, _ in ARMS.values() if source is not None}
    missing = {source for source in sources for each in subsets if each.synthetic(source) is None}
    return [arm for arm in arms if ARMS[arm][0] not in missing]


def mean_of_present(
    dice: Float64[np.ndarray, "cases structures"],
) -> Float64[np.ndarray, " cases"]:
    """Mean over the structures that a case has; NaN where it has none."""
    there = ~np.isnan(dice)
    return np.where(there.any(axis=1), np.where(there, dice, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1), np.nan)


def row(dice: Mapping[str, Float64[np.ndarray, "subsets cases"]], arm: str) -> dict[str, Any]:
    """Dice and gain of an arm over the cases that have a structure of the task."""
    there = ~np.isnan(dice[BASE]).any(axis=0)
    found, base = dice[arm][:, there], dice[BASE][:, there]
    value, gain = mean_over_subsets(found, "cases"), mean_over_subsets(found - base, "cases")
    return {"dice": value.as_json(), "gain": gain.as_json(), "trained": len(dice[arm])}


def rows_of(
    subsets: Sequence[Subset], network: Architecture, task: str, arms: Sequence[str], test: LoadedCohort, asked: Any
) -> list[dict[str, Any]]:
    """Every arm of one network and task on the same real cases."""
    names = foreground_names(subsets[0].real.label_names)
    drawn = list(product(subsets, range(asked.seeds)))
    trials = {
        arm: [Trial(subset, seed, network, task, arm, asked.steps, asked.edge) for subset, seed in drawn]
        for arm in arms
    }
    found = {arm: np.array([trial.dice(test, names) for trial in trials[arm]]) for arm in arms}
    mean = {arm: np.array([mean_of_present(each) for each in dice]) for arm, dice in found.items()}
    left_out = {each.folder.name: each.left_out() for each in subsets if each.left_out()}
    counts = {"cases": len(subsets[0].real), "subsets": len(subsets), "seeds": asked.seeds, "steps": asked.steps}
    about = {**counts, "network": network, "task": task, "left_out": left_out}
    single = {
        name: {arm: dice[..., value] for arm, dice in found.items()} for value, name in enumerate(names) if task == ALL
    }
    return [
        {**about, "arm": arm, **row(mean, arm), "structures": {name: row(dice, arm) for name, dice in single.items()}}
        for arm in arms
    ]


def written(path: Path, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Add rows to those of other calls with the same settings, in place of earlier ones of their kind."""
    kept = read_json(path)["rows"] if path.exists() and about.items() <= read_json(path).items() else []
    every = {tuple(each[key] for key in KEY): each for each in (*kept, *rows)}
    write_json(path, {"rows": list(every.values()), **about, "facts": facts()})


def main(asked: argparse.Namespace) -> None:
    """Every network of the table."""
    torch.set_num_threads(1)
    test = Cohort.open(asked.work / "test")
    truth, size = loaded(test, asked.edge), tuple(int(edge) for edge in asked.size.split(","))
    tasks = [ALL, *foreground_names(test.label_names)] if asked.tasks == "each" else asked.tasks.split(",")
    about = {"edge": asked.edge, "batch": BATCH, "precision": "bfloat16, V-Net float32", "synthetic": asked.count,
             "course": asked.course}  # fmt: skip
    networks, rows = asked.networks.split(","), []
    for cases in map(int, asked.cases.split(",")):
        Subset(asked.work, cases, asked.subsets - 1 if cases else 0, size, asked.count, asked.course).check()
    for cases, network, task in product(map(int, asked.cases.split(",")), networks, tasks):
        numbers = range(asked.subsets if cases else 1)
        subsets = [Subset(asked.work, cases, number, size, asked.count, asked.course) for number in numbers]
        arms = [arm for arm in asked.arms.split(";") if arm != LONGER or network == networks[0]]
        found = rows_of(subsets, network, task, possible(arms, subsets), truth, asked)
        rows += found
        print(*found, sep="\n", flush=True)
        written(HERE / f"segmentation-{asked.data}.json", rows, about)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--cases", default="20,50,0")
    parser.add_argument("--subsets", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2, help="networks of each subset")
    parser.add_argument("--networks", default="unet,resunet,wide_resunet,dynunet,vnet")
    parser.add_argument("--arms", default=";".join(ARMS), help="separated by semicolons; R among them")
    parser.add_argument("--tasks", default="each", help="'each', or names separated by commas")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--edge", type=int, default=32)
    parser.add_argument("--size", default="32,48,32", help="grid of the model")
    parser.add_argument("--count", type=int, default=100, help="synthetic cases of each source")
    parser.add_argument("--course", type=float, default=1.0, help="steps of the model as a share of the preset's")
    parser.add_argument("--data", default="hippocampus", help="for the name of the result")
    try:
        main(parser.parse_args())
    except MedsmithError as error:
        sys.exit(error.line)
