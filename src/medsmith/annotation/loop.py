"""The annotation loop of mDDPM: few labeled slices become labels for a large unlabeled set.

A. Krishna et al. 2025, "Guided synthesis of annotated lung CT images with pathologies using a multi-conditioned
denoising diffusion probabilistic model (mDDPM)", section 4.1, steps 1 to 3, and figure 1. The measure on withheld
labels, the control and the rule that stops the loop are ours.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medsmith.annotation.checks import check_all, generator_config, labeler_edge
from medsmith.annotation.inputs import Inputs, open_inputs
from medsmith.annotation.labeler import read_labeler
from medsmith.annotation.measured import rise
from medsmith.annotation.options import AnnotationOptions
from medsmith.annotation.picture import draw_picture
from medsmith.annotation.predictions import RECORD
from medsmith.annotation.records import SETTINGS, Stopwatch, TurnRecord, settings_fit
from medsmith.annotation.result import Annotation, choose, control_line, turn_line
from medsmith.annotation.rules import LabelRules
from medsmith.annotation.turn import (
    CONTROL,
    LABELER,
    METHOD,
    LoopContext,
    check_finished,
    fit_space,
    make_control,
    make_turn,
    predict,
    space_path,
)
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.methods.base import Method
from medsmith.progress import NullProgress, Progress
from medsmith.runs.checkpoints import load_method
from medsmith.runs.folder import lock_run
from medsmith.runs.steps import few_steps_warnings
from medsmith.synthesis.options import SynthesisOptions
from medsmith.training import Budget, train

Report = Callable[[str], None]
RUN, ANNOTATED = "run", "annotated"


def annotate(
    labeled: Path | str,
    unlabeled: Path | str,
    out: Path | str,
    *,
    withheld: Path | str | None = None,
    run: Path | str | None = None,
    options: AnnotationOptions | None = None,
    workers: int | None = None,
    synthesis: SynthesisOptions | None = None,
    progress: Progress | None = None,
    report: Report | None = None,
) -> Annotation:
    """Labels an unlabeled cohort, or continues where an earlier call was stopped.

    Each turn fits a shape space, generates pairs that follow anatomies sampled from it, trains a labeler on them and
    predicts the labels of the unlabeled cases, from which the next turn learns a richer space. The loop ends when a
    turn does not raise the mean Dice on withheld cases by more than the standard error of the paired differences, or
    at the largest number of turns. The final labels come from the labeler with the highest Dice, which may be the
    control.

    Args:
        labeled: few slices with labels.
        unlabeled: many slices; labels in it are ignored.
        out: folder of everything that is made.
        withheld: labeled slices of other patients, to measure with; None withholds a share of the labeled patients.
        run: a trained run of mddpm; None trains one in ``out`` on all images but the withheld.
        options: settings.
        workers: processes that generate pairs; None starts one per core.
        synthesis: further options of the generation.
        progress: of every step; None shows nothing.
        report: receives one line for each thing to know, the control and each turn.

    Raises:
        CohortError: cohorts do not fit together, or a withheld image is in another one.
        GeometryError: a case is a volume.
        RequestError: an option cannot be used.
        RunError: the run does not fit, the folder was started with other settings, or a file in it is damaged.
        MedsmithError: a step fails; those before it stay.
    """
    out, options, progress = Path(out), options or AnnotationOptions(), progress or NullProgress()
    report = report or _silent
    inputs, notes = open_inputs(Path(labeled), Path(unlabeled), Path(withheld) if withheld else None, out, options)
    trained = None if run is None else load_method(run)
    edge = labeler_edge(generator_config(run, trained, options), options)
    settings = _settings(inputs, options, trained, edge)
    checked = None if settings_fit(out, settings) else check_all(out, inputs, options, run, trained, progress)
    for note in (*notes, *(checked.notes if checked else ()), *(few_steps_warnings(run) if run is not None else ())):
        report(note)
    with lock_run(out):
        if not settings_fit(out, settings):
            write_json(out / SETTINGS, settings)
        context = LoopContext(out, inputs, options, edge, workers, synthesis, Stopwatch(out), progress)
        if checked is not None and not space_path(out, 1).exists():
            checked.space.save(space_path(out, 1))
            context.watch.add("turn-1/space", checked.seconds)
        annotation = _turns(context, run, report)
        _finish(context, annotation, settings)
    return annotation


def reason_to_stop(turns: list[TurnRecord], most: int) -> str:
    """Why there is no further turn; empty if there is one.

    Args:
        turns: that are finished.
        most: largest number of turns.
    """
    if len(turns) > 1:
        found = rise(turns[-1].measured, turns[-2].measured)
        if not found.exceeds_error:
            return f"stopped because turn {len(turns)} changed the Dice by {found}"
    return f"stopped after {most} turns as asked" if len(turns) >= most else ""


def _turns(context: LoopContext, run: Path | str | None, report: Report) -> Annotation:
    check_finished(context)
    rules = LabelRules.of(fit_space(context, 1))
    control = make_control(context, rules)
    report(control_line(control, context.watch.total(CONTROL)))
    generator = _generator(context, report) if run is None else run
    turns: list[TurnRecord] = []
    while not (stopped := reason_to_stop(turns, context.options.turns)):
        turns.append(make_turn(context, len(turns) + 1, generator, rules))
        before = turns[-2] if len(turns) > 1 else None
        report(turn_line(turns[-1], before, control, context.watch.total(f"turn-{len(turns)}")))
    return Annotation(context.out, control, tuple(turns), choose(control, turns), stopped)


def _generator(context: LoopContext, report: Report) -> Path:
    """The run of the generator, trained on all images but the withheld; a limit may have ended it early."""
    options = context.options
    with context.watch.measure("run/train"):
        run = train(
            METHOD,
            context.inputs.images,
            context.out / RUN,
            preset=options.preset,
            settings=options.settings,
            seed=options.seed,
            budget=Budget(minutes=options.max_minutes),
            progress=context.progress,
        )
    for warning in few_steps_warnings(run):
        report(warning)
    return run


def _finish(context: LoopContext, annotation: Annotation, settings: dict[str, Any]) -> None:
    """Writes the labels of the best labeler, the picture and the record; a later call may take another labeler."""
    source = f"turn-{annotation.chosen}" if annotation.chosen else CONTROL
    labeler = read_labeler(context.out / source / LABELER)
    _drop_other_labels(context.out, labeler.content_hash)
    annotated = predict(context, labeler, LabelRules.of(fit_space(context, 1)), context.out / ANNOTATED)
    write_bytes(context.out / "annotate.png", draw_picture(annotation, annotated))
    folders = (RUN, CONTROL, *(f"turn-{turn.number}" for turn in annotation.turns))
    seconds = {folder: context.watch.total(folder) for folder in folders}
    record = annotation.as_json({**settings, "turns": context.options.turns}, seconds)
    write_json(context.out / "annotate.json", record)


def _drop_other_labels(out: Path, labeler: str) -> None:
    """Removes the labels of another labeler, which a call with fewer turns took; renamed first, not to be half."""
    folder, old = out / ANNOTATED, out / f"{ANNOTATED}.old"
    record = folder / RECORD
    if record.exists() and read_json(record).get("labeler") != labeler:
        folder.rename(old)
    if old.exists():
        shutil.rmtree(old)


def _settings(inputs: Inputs, options: AnnotationOptions, trained: Method | None, edge: int) -> dict[str, Any]:
    """All that decides the result; ``turns`` may grow."""
    chosen = options.model_dump(mode="json", exclude={"turns"})
    return {**inputs.facts(), **chosen, "size": edge, "run": trained.weights_hash if trained else None}


def _silent(_line: str) -> None:
    """Ignores a line."""
