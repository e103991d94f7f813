"""Measures whether synthetic cases help nnU-Net v2, which runs as programs in an environment of its own."""

import json
from dataclasses import replace
from pathlib import Path

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike
from medsmith.evaluation.downstream.arms import Arm
from medsmith.evaluation.downstream.inputs import NAMES, Cohorts, check_compatible, check_settings
from medsmith.evaluation.downstream.networks import devices_line
from medsmith.evaluation.downstream.separation import (
    Separation,
    check_generator,
    check_hashes,
    check_labeled,
    read_keys,
    separated,
)
from medsmith.evaluation.kept_folder import names_line
from medsmith.evaluation.nnunet.datasets import common_ending, write_dataset
from medsmith.evaluation.nnunet.networks import Trial
from medsmith.evaluation.nnunet.options import NnunetOptions
from medsmith.evaluation.nnunet.page import nnunet_page
from medsmith.evaluation.nnunet.result import NnunetUtility
from medsmith.evaluation.nnunet.splits import REAL_PREFIX, SYNTHETIC_PREFIX, Split, folds_of, splits_of
from medsmith.evaluation.nnunet.summary import summarized
from medsmith.evaluation.nnunet.workplace import Workplace
from medsmith.evaluation.pages.earlier_report import cohort_line
from medsmith.evaluation.pages.page import check_results_folder, write_page
from medsmith.evaluation.roles import role_notes
from medsmith.formats.atomic import write_json
from medsmith.formats.lock import hold_output
from medsmith.nnunet_environment.environment import NnunetEnvironment, require_environment
from medsmith.progress import NullProgress, Progress

RECORD, PAGE = "nnunet.json", "nnunet.html"
_LATER = {"folds", "alone", "gain", "device", "workers"}
"""Options that an experiment may change, since they decide no network that is done."""


def nnunet_utility(
    real: CohortLike,
    synthetic: CohortLike,
    test: CohortLike,
    out: Path | str,
    *,
    training: CohortLike | None = None,
    options: NnunetOptions | None = None,
    progress: Progress | None = None,
) -> NnunetUtility:
    """nnU-Net trained on R and on R + S, tested on real patients that nothing learned from.

    Writes ``nnunet.json`` and ``nnunet.html``, and nnU-Net's datasets, results and logs beside them. The same call
    resumes an interrupted one; a training continues at its last checkpoint.

    Args:
        real: real training cases R.
        synthetic: synthetic cases S of a generator that was trained without the test patients.
        test: real cases of other patients than those that networks and generator learn from.
        out: folder of the results.
        training: the cohort that the generator was trained on, if it is not ``real``.
        options: what is trained, and how it is measured.
        progress: display of the progress and the remaining time.

    Raises:
        CohortError: the cohorts are incompatible, a training image or patient is in the test cohort, too few test
            patients remain, or another process writes to the folder.
        RequestError: nnU-Net is not installed or has no plans for the configuration, or there are too few patients.
        RunError: the folder holds results with other cases or settings, or a step of nnU-Net fails.
        FileError: another file is in the place of the result.
    """
    options, progress, out = options or NnunetOptions(), progress or NullProgress(), Path(out)
    cohorts = Cohorts.of(real, synthetic, test, None, training)
    environment = require_environment()
    check_results_folder(out, (RECORD, PAGE), [cohort.root for cohort in cohorts.named.values()])
    check_compatible(cohorts)
    ending = common_ending((cohorts.real, cohorts.synthetic, cohorts.test))
    generator = check_generator(cohorts.synthetic, cohorts.test, cohorts.of_generator)
    apart = _apart(cohorts, options, progress)
    splits = _splits(cohorts, apart, options)
    settings = _settings(cohorts, options, environment)
    place = Workplace(out, environment, options)
    with hold_output(out):
        check_settings(out, settings)
        trial = Trial(place, _written(cohorts, place, apart, ending, progress), splits, _in_mm(cohorts.test))
        trial.prepare(progress)
        trial.train(progress)
        trial.test_all(progress)
        counts = (len(cohorts.real), len(cohorts.synthetic))
        facts = {**settings, "device": devices_line(out, trial.jobs)}
        notes = (*role_notes(cohorts.given_as_real), generator, *apart.notes)
        result = summarized(trial, counts, apart.patients, notes, facts)
        write_json(out / RECORD, result.as_json())
        write_page(nnunet_page(result), out / PAGE)
    return result


def _apart(cohorts: Cohorts, options: NnunetOptions, progress: Progress) -> Separation:
    """The test cases apart from what anything learned from; those with a structure suffice for an interval."""
    test = read_keys(cohorts.test, "test", progress)
    keys = {name: read_keys(cohort, name, progress) for name, cohort in cohorts.learned_from.items()}
    if cohorts.training is not None:
        keys["generator's"] = read_keys(cohorts.training, "generator's", progress)
    check_hashes(test, keys)
    others = [each for name, each in keys.items() if name not in ("real", "synthetic")]
    apart = separated(keys["real"], test, others, keys["synthetic"], options.group, options.scenes)
    labeled = (case_id for case_id in apart.patients if cohorts.test[case_id].require_labels().any())
    check_labeled({apart.patients[case_id] for case_id in labeled})
    return replace(apart, patients=dict(sorted(apart.patients.items())))


def _splits(cohorts: Cohorts, apart: Separation, options: NnunetOptions) -> dict[Arm, list[Split]]:
    """Training and validation cases of each arm, by the ids of nnU-Net's datasets."""
    folds = [[REAL_PREFIX + case_id for case_id in fold] for fold in folds_of(apart.groups, options.seed)]
    synthetic = [SYNTHETIC_PREFIX + case_id for case_id in cohorts.synthetic.ids]
    return {arm: splits_of(folds, synthetic, arm.shares[0]) for arm in options.arms}


def _settings(cohorts: Cohorts, options: NnunetOptions, environment: NnunetEnvironment) -> dict[str, str]:
    """What decides a network."""
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions().items())
    return {
        **{f"{name} cohort": cohort_line(each) for name, each in cohorts.named.items()},
        NAMES: names_line(cohorts.real),
        "options": json.dumps(options.model_dump(exclude=set(_LATER)), sort_keys=True),
        "nnU-Net": versions or "of unknown version",
    }


def _in_mm(test: Cohort) -> bool:
    return all(test.geometry(case_id).spacing_known for case_id in test.ids)


def _written(cohorts: Cohorts, place: Workplace, apart: Separation, ending: str, progress: Progress) -> Cohort:
    """Writes the datasets of the arms and the test cases; returns the latter."""
    for arm in place.options.arms:
        sources = {REAL_PREFIX: cohorts.real} | ({SYNTHETIC_PREFIX: cohorts.synthetic} if arm.synthetic else {})
        write_dataset(place.raw(arm), sources, ending, progress)
    return write_dataset(place.out / "test", {"": cohorts.test.subset(apart.patients)}, ending, progress)
