"""One row of a paper: its generator, its cases, and what they score."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from medsmith.benchmarks.lesions import lesions_alone
from medsmith.benchmarks.paper import Generator, Inputs, Paper, Row
from medsmith.benchmarks.result import RowResult
from medsmith.benchmarks.scales import Scale
from medsmith.cases.cohort import Cohort
from medsmith.errors import SynthesisError, TrainingError, counted
from medsmith.evaluation import evaluate
from medsmith.evaluation.downstream import SegmenterConfig, UtilityOptions, utility
from medsmith.evaluation.fidelity.comparison import Comparison
from medsmith.evaluation.fidelity.extractors import CachedExtractor
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.named_extractors import default_extractors
from medsmith.evaluation.kept_folder import folder_key
from medsmith.formats.atomic import write_bytes
from medsmith.progress import Progress
from medsmith.synthesis import Limits, Summary, SynthesisOptions, synthesize
from medsmith.synthesis.plan import read_plan
from medsmith.training import Budget, train

SEED = 0
FEATURES = "features"
"""Folder of the features of images, which all rows share."""
_UNTRAINED = "copypaste"
# Networks that were trained briefly make images that the checks refuse: how far these are from real ones is measured.
_LIMITS = Limits(
    foreground=(0, 1e6),
    components=1e6,
    label_problems=10**6,
    beyond_range=1e6,
    spread=0,
    noise=1e6,
    region_dice=0,
    attempts=10,
)


@final
@dataclass(frozen=True)
class Bench:
    """What all rows of a run share.

    Attributes:
        paper: whose rows are made.
        scale: how much is trained and measured.
        out: folder of the run.
        inputs: where its cases lie.
        progress: of every step.
        report: receives a line per finished step.
    """

    paper: Paper
    scale: Scale
    out: Path
    inputs: Inputs
    progress: Progress
    report: Callable[[str], None]

    def result(self, row: Row) -> RowResult:
        """The row, made or continued, and measured.

        Raises:
            MedsmithError: measuring fails. A row whose generator cannot be trained on these cases is a result, as is
                one whose cases no check lets pass.
        """
        generator = self.paper.generators[row.generator]
        trained = self._training(generator)
        try:
            made = self._made(row, generator.weights or str(self._trained(row.generator, generator)))
        except (SynthesisError, TrainingError) as error:
            self.report(f"{row.name}: {error.line}")
            return RowResult(row.name, trained=trained, missing=error.line)
        self.report(f"{row.name}: {made.line}")
        result = RowResult(row.name, self._distances(row), attempts=made.attempts, cases=made.count)
        return self._with_utility(row, replace(result, trained=trained, sampler=self._sampler(row)))

    def cases_of(self, row: Row) -> Path:
        """Folder of its cases."""
        return self.out / "rows" / stem(row.name)

    def _training(self, generator: Generator) -> str:
        """In words, what the generator of a row learned."""
        if generator.method == _UNTRAINED:
            return "nothing is trained"
        if generator.weights:
            return f"{generator.method}, shipped weights, not trained here"
        updates = counted(self._updates(generator), "update")
        updates += f" in each of {generator.stages} stages" if generator.stages > 1 else ""
        changed = "".join(f", {each}" for each in generator.settings)
        return f"{generator.method}, preset {self.scale.preset}{changed}, {updates}"

    def _updates(self, generator: Generator) -> int:
        """Of each stage."""
        return max(1, self.scale.updates // generator.stages)

    def _sampler(self, row: Row) -> str:
        """Solver and steps of the cases of a row; "" of cases that no network made."""
        if self.paper.generators[row.generator].method == _UNTRAINED:
            return ""
        recipe = read_plan(self.cases_of(row)).recipe
        return f"{recipe.solver}, {counted(recipe.steps, 'step')}"

    def _trained(self, key: str, generator: Generator) -> Path:
        run = self.out / "runs" / key
        budget = Budget(steps=self._updates(generator))
        own = self._of_patients() if generator.method == _UNTRAINED else self._sized()
        train(
            generator.method,
            self.inputs.train,
            run,
            preset=self.scale.preset,
            settings=(*own, *generator.settings),
            budget=budget,
            progress=self.progress,
        )
        return run

    def _sized(self) -> tuple[str, ...]:
        """The setting that gives networks the grid of the scale."""
        size = [self.scale.edge(self.paper.dimensions)] * self.paper.dimensions
        return (f"size={size}".replace(" ", ""),)

    def _of_patients(self) -> tuple[str, ...]:
        """The setting by which nothing is pasted into another case of its own patient."""
        return () if self.inputs.group is None else (f"group={json.dumps(self.inputs.group)}",)

    def _made(self, row: Row, run: str) -> Summary:
        steps = self.scale.sampling_steps if self.paper.generators[row.generator].method != _UNTRAINED else None
        return synthesize(
            run,
            self.cases_of(row),
            count=self.scale.count,
            seed=SEED,
            request=row.request(self.inputs),
            steps=steps,
            options=SynthesisOptions(limits=_LIMITS),
            progress=self.progress,
        )

    def _distances(self, row: Row) -> Mapping[str, Comparison]:
        extractors = [CachedExtractor(each, self.out / FEATURES) for each in default_extractors()]
        found = evaluate(
            self.inputs.test,
            self.cases_of(row),
            self.out / "evaluation" / stem(row.name),
            training=self.inputs.train,
            extractors=extractors,
            group=self.inputs.group,
            progress=self.progress,
        )
        names = [each.name for each in extractors if each.name in found.distances]
        return {name: found.distances[name][FRECHET.name] for name in names}

    def _with_utility(self, row: Row, result: RowResult) -> RowResult:
        if not row.labeled:
            return result
        out, scale = self.out / "utility" / stem(row.name), self.scale
        self._reuse_real_networks(out)
        found = utility(
            self._learned_from("train", self.inputs.train),
            self._learned_from(stem(row.name), self.cases_of(row)),
            self._learned_from("test", self.inputs.test),
            out,
            options=UtilityOptions(subsets=scale.subsets, seeds=scale.seeds, group=self.inputs.group),
            config=SegmenterConfig(steps=scale.steps),
            progress=self.progress,
        )
        arms = {each.arm.name: each for each in found.sizes[0].arms}
        return replace(
            result,
            dice={name: each.dice.value for name, each in arms.items()},
            gains={name: each.dice.gain for name, each in arms.items() if each.dice.gain is not None},
            verdicts={name: each.verdict for name, each in arms.items() if each.dice.gain is not None},
        )

    def _learned_from(self, name: str, cohort: Path) -> Cohort:
        """The cohort with the labels that segmentation networks learn."""
        source = Cohort.open(cohort)
        if not self.paper.lesions_alone:
            return source
        # Of other cases of the same names, such as those of another test cohort, nothing may be kept.
        folder = f"{name}-{folder_key({'content': source.content_hash()}, [source])}"
        return lesions_alone(source, self.out / "lesions" / folder, self.progress)

    def _reuse_real_networks(self, out: Path) -> None:
        """Networks that learn from real cases alone are the same for every row: they are trained once."""
        for folder in sorted(path for path in (self.out / "utility").glob("*") if path != out):
            for path in sorted(folder.glob("networks/*/real*.json")):
                copy = out / path.relative_to(folder)
                if not path.name.startswith("real-and-synthetic") and not copy.exists():
                    write_bytes(copy, path.read_bytes())


def stem(name: str) -> str:
    """A row's name as that of a folder."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.casefold()).split())
