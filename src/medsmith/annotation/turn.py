"""One turn: shape space, generated pairs, labeler, predicted labels; and the control.

Every step writes one file or one cohort, which is complete or absent; what is complete is not made again. The record of
a turn is written last.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.anatomy import ShapeSpace
from medsmith.annotation.inputs import Inputs
from medsmith.annotation.labeler import Labeler, read_labeler, write_labeler
from medsmith.annotation.options import AnnotationOptions
from medsmith.annotation.predictions import agreement, mean_confidence, measure, write_predictions
from medsmith.annotation.records import ControlRecord, Stopwatch, TurnRecord
from medsmith.annotation.rules import LabelRules
from medsmith.cases.cohort import Cohort
from medsmith.cases.views import joined
from medsmith.diffusion.noise import derive_seed
from medsmith.errors import TrainingError, is_out_of_memory
from medsmith.evaluation.downstream.loaded_cohort import load_cohort
from medsmith.evaluation.downstream.segmenter import Cases, mixed, train_segmenter
from medsmith.formats.atomic import write_json
from medsmith.progress import Progress
from medsmith.synthesis.coordinator import synthesize
from medsmith.synthesis.damage import check_cases, check_file, read_record
from medsmith.synthesis.options import SynthesisOptions
from medsmith.synthesis.tasks import case_id

METHOD = "mddpm"
CONTROL, SPACE, LABELER, PAIRS, LABELS = "control", "space.safetensors", "labeler.safetensors", "pairs", "labels"


@final
@dataclass(frozen=True, eq=False)
class LoopContext:
    """What all turns share.

    Attributes:
        out: folder of the loop.
        inputs: the cohorts.
        options: settings.
        edge: of the labelers' grid.
        workers: processes that generate pairs; None starts one per core.
        synthesis: further options of the generation.
        watch: of the seconds.
        progress: of every step.
    """

    out: Path
    inputs: Inputs
    options: AnnotationOptions
    edge: int
    workers: int | None
    synthesis: SynthesisOptions | None
    watch: Stopwatch
    progress: Progress


def fit_space(context: LoopContext, number: int) -> ShapeSpace:
    """The shape space of a turn: of the labeled slices, from turn 2 on with the labels predicted in the turn before.

    Raises:
        CohortError: too few slices share a structure.
    """
    path = space_path(context.out, number)
    if not path.exists():
        with context.watch.measure(f"turn-{number}/space"):
            fitted_space(_annotated(context, number), context.options, context.progress).save(path)
    return ShapeSpace.load(path)


def fitted_space(cohort: Cohort, options: AnnotationOptions, progress: Progress) -> ShapeSpace:
    """The shape space of annotated slices, as the options have it.

    Raises:
        CohortError: too few slices share a structure.
    """
    return ShapeSpace.fit(
        cohort, points=options.points, variance=options.variance, context=options.context, progress=progress
    )


def space_path(out: Path, number: int) -> Path:
    """The file of the shape space of a turn."""
    return out / f"turn-{number}" / SPACE


def make_control(context: LoopContext, rules: LabelRules) -> ControlRecord:
    """The control: trained on the labeled slices alone."""
    folder = context.out / CONTROL
    path = folder / "control.json"
    if not path.exists():
        with context.watch.measure(f"{CONTROL}/labeler"):
            labeler = _train(context, folder, [_cases(context, context.inputs.labeled)])
        with context.watch.measure(f"{CONTROL}/measure"):
            measured = measure(labeler, rules, context.inputs.withheld, context.inputs.patients, context.progress)
        record = ControlRecord(
            labeler=labeler.content_hash,
            steps=labeler.config.steps,
            measured=measured,
        )
        write_json(path, record.model_dump(mode="json"))
    return read_record(ControlRecord, path)


def make_turn(context: LoopContext, number: int, run: Path | str, rules: LabelRules) -> TurnRecord:
    """One turn; what an interrupted call has finished is not made again.

    Args:
        context: what all turns share.
        number: from 1.
        run: of the generator.
        rules: of the annotated maps, which every predicted map obeys.

    Raises:
        MedsmithError: a step fails; the others stay.
    """
    folder, watch = _folder(context, number), context.watch
    path = folder / "turn.json"
    if not path.exists():
        space = fit_space(context, number)
        with watch.measure(f"turn-{number}/pairs"):
            _generate(context, folder, number, run)
        with watch.measure(f"turn-{number}/labeler"):
            labeler = _train(context, folder, _phases(context, folder))
        with watch.measure(f"turn-{number}/measure"):
            measured = measure(labeler, rules, context.inputs.withheld, context.inputs.patients, context.progress)
        with watch.measure(f"turn-{number}/labels"):
            labels = predict(context, labeler, rules, folder / LABELS)
            agreed = agreement(labels, Cohort.open(_folder(context, number - 1) / LABELS)) if number > 1 else None
        record = TurnRecord(
            number=number,
            annotated=space.record.cases,
            space=space.content_hash,
            rejection=space.record.rejection.rate,
            pairs=context.options.pairs,
            labeler=labeler.content_hash,
            steps=labeler.config.steps,
            measured=measured,
            agreement=agreed,
            confidence=mean_confidence(labels),
        )
        write_json(path, record.model_dump(mode="json"))
    return read_record(TurnRecord, path)


def check_finished(context: LoopContext) -> None:
    """Checks that everything that finished steps made is as it was.

    Raises:
        RunError: a file is missing or damaged; the message says what to remove.
    """
    control = context.out / CONTROL / "control.json"
    if control.exists():
        labeler = control.with_name(LABELER)
        check_file(labeler, read_record(ControlRecord, control).labeler, (labeler, control))
    for record in sorted(context.out.glob("turn-*/turn.json")):
        _check_turn(context, record.parent, record)


def _check_turn(context: LoopContext, folder: Path, record: Path) -> None:
    finished = read_record(TurnRecord, record)
    for name, expected in ((SPACE, finished.space), (LABELER, finished.labeler)):
        check_file(folder / name, expected, (folder / name, record))
    pairs = (case_id(METHOD, index) for index in range(finished.pairs))
    for name, ids in ((PAIRS, pairs), (LABELS, context.inputs.unlabeled.ids)):
        check_cases(folder / name, ids, (folder / name, record))


def predict(context: LoopContext, labeler: Labeler, rules: LabelRules, out: Path) -> Cohort:
    """The unlabeled cases with the labels of a labeler, as a cohort."""
    return write_predictions(labeler, rules, context.inputs.unlabeled, out, context.progress)


def pair_request(options: AnnotationOptions, space: Path, classes: Sequence[str]) -> dict[str, Any]:
    """The request for a generated pair: an anatomy sampled from a space, and what the user adds.

    Args:
        options: have the user's entries.
        space: file of the shape space.
        classes: labels in the order of their values, so that the pairs have the values of the labeled slices.
    """
    own = {"space": str(space), "classes": list(classes)}
    added = options.request.get("anatomy")
    return {**options.request, "anatomy": {**(added if isinstance(added, Mapping) else {}), **own}}


def _folder(context: LoopContext, number: int) -> Path:
    return context.out / f"turn-{number}"


def _annotated(context: LoopContext, number: int) -> Cohort:
    if number == 1:
        return context.inputs.labeled
    return joined({"labeled": context.inputs.labeled, "predicted": Cohort.open(_folder(context, number - 1) / LABELS)})


def _generate(context: LoopContext, folder: Path, number: int, run: Path | str) -> None:
    options = context.options
    synthesize(
        run,
        folder / PAIRS,
        count=options.pairs,
        seed=derive_seed(options.seed, "pairs", number),
        request=pair_request(options, folder / SPACE, context.inputs.classes),
        solver=options.solver,
        steps=options.sampling_steps,
        workers=context.workers,
        options=context.synthesis,
        progress=context.progress,
    )


def _cases(context: LoopContext, cohort: Cohort) -> Cases:
    with context.progress.task("read cases", len(cohort)) as advance, _enough_memory(context):
        loaded = load_cohort(cohort, context.edge, advance)
    return loaded.images, loaded.labels


def _phases(context: LoopContext, folder: Path) -> list[Cases]:
    """The training cases of a labeler of a turn, in phases of equal numbers of steps."""
    generated = _cases(context, Cohort.open(folder / PAIRS))
    if context.options.train_on == "generated":
        return [generated]
    real = _cases(context, context.inputs.labeled)
    if context.options.train_on == "generated-then-real":
        return [generated, real]
    return [mixed(generated, real)]


def _train(context: LoopContext, folder: Path, phases: Sequence[Cases]) -> Labeler:
    """The labeler of a folder; trained with the same steps, seed and augmentation whatever it is trained on."""
    path, options, names = folder / LABELER, context.options, context.inputs.labeled.label_names
    if not path.exists():
        config = options.labeler
        with context.progress.task(f"train {folder.name}", config.steps) as advance, _enough_memory(context):
            network = train_segmenter(phases, len(names), config, options.network_seed, advance, options.augmentation)
        write_labeler(path, network, config, context.edge, phases[0][0].shape[1], names)
    return read_labeler(path)


@contextmanager
def _enough_memory(context: LoopContext) -> Iterator[None]:
    """Says in one line that the memory does not suffice.

    Raises:
        TrainingError: it does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = f"{context.options.labeler.batch} slices of {context.edge} x {context.edge} pixels"
        found = f"out of memory with batches of {size}"
        raise TrainingError(context.out, found, cure="lower --batch or --size, in a new folder") from None
