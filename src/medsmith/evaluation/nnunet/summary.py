"""From the measures of nnU-Net's networks to the results of the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from medsmith.errors import counted
from medsmith.evaluation.downstream.arm_results import Tested
from medsmith.evaluation.downstream.arms import REAL
from medsmith.evaluation.downstream.networks import Job
from medsmith.evaluation.downstream.result import WITHHELD, ArmResult
from medsmith.evaluation.downstream.scores import ArmScores
from medsmith.evaluation.nnunet.networks import Trial
from medsmith.evaluation.nnunet.options import NnunetOptions
from medsmith.evaluation.nnunet.result import LEAST_COURSE, LEAST_FOLDS, NnunetUtility
from medsmith.evaluation.nnunet.splits import Split, synthetic_share
from medsmith.formats.json_file import read_json


def summarized(
    trial: Trial,
    cases: tuple[int, int],
    patients: Mapping[str, str],
    notes: tuple[str, ...],
    settings: Mapping[str, str],
) -> NnunetUtility:
    """The results of all networks.

    Args:
        trial: whose networks are tested.
        cases: real and synthetic training cases.
        patients: patient of each test case.
        notes: what is known of generator and test cases.
        settings: what decides the networks.

    Raises:
        RunError: a file does not hold the measures of every test case.
    """
    options, out, names = trial.place.options, trial.place.out, trial.test.label_names
    structures = tuple(sorted(names, key=names.__getitem__))[1:]
    tested = Tested(patients, structures, trial.mm, options.gain)
    jobs = {arm: [job for job in trial.jobs if job.arm == arm] for arm in options.arms}
    scores = {arm: ArmScores.read(out, of_arm, tested.ids, len(structures)) for arm, of_arm in jobs.items()}
    results = [_judged(tested.result(arm, found, scores[REAL], 0.0), options) for arm, found in scores.items()]
    return NnunetUtility(
        arms=tuple(results),
        patients=tested.patient_count(scores[REAL]),
        lesions=tested.lesions(scores[REAL]),
        cases=cases,
        folds=options.folds,
        shares={arm.name: _shares(trial.splits[arm], options) for arm in options.arms if arm.synthetic},
        validation={arm.name: _validation(out, of_arm) for arm, of_arm in jobs.items()},
        course=options.course,
        steps=(options.epochs, options.iterations),
        gain=options.gain,
        unit="mm" if trial.mm else "pixels",
        tolerance=options.tolerance,
        notes=(*notes, *_unlabeled(tested.unlabeled_count(scores[REAL]))),
        facts={**settings, "medsmith": metadata.version("medsmith")},
    )


def _unlabeled(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{counted(count, 'test patient')} more without a labeled voxel: no Dice, but false alarms.",)


def _judged(result: ArmResult, options: NnunetOptions) -> ArmResult:
    """Without a verdict where course or folds are too few for one."""
    few = options.course < LEAST_COURSE or len(options.folds) < LEAST_FOLDS
    return replace(result, verdict=WITHHELD) if few and result.arm != REAL else result


def _shares(splits: Sequence[Split], options: NnunetOptions) -> tuple[float, ...]:
    return tuple(synthetic_share(splits[fold]) for fold in options.folds)


def _validation(out: Path, jobs: Sequence[Job]) -> tuple[float | None, ...]:
    return tuple(read_json(job.path(out)).get("validation_dice") for job in jobs)
