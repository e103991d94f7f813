"""Measures whether synthetic cases help to train a segmentation network when there are real ones."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from itertools import chain
from pathlib import Path

from medsmith.cases.cohort_like import CohortLike
from medsmith.errors import CohortError
from medsmith.evaluation.downstream.architectures import grid_multiple
from medsmith.evaluation.downstream.arm_results import Tested
from medsmith.evaluation.downstream.arms import plan_arms
from medsmith.evaluation.downstream.inputs import (
    MADE,
    Cohorts,
    check_compatible,
    check_settings,
    grid_edge,
    settings_of,
)
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort
from medsmith.evaluation.downstream.networks import Job, Material, devices_line, jobs_of, train_missing
from medsmith.evaluation.downstream.options import UtilityOptions
from medsmith.evaluation.downstream.page import utility_page
from medsmith.evaluation.downstream.procedural import trained_once, untried_phantoms
from medsmith.evaluation.downstream.result import Utility
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.evaluation.downstream.separation import (
    ImageKeys,
    Separation,
    check_generator,
    check_hashes,
    check_labeled,
    only_cases,
    read_keys,
    separated,
)
from medsmith.evaluation.downstream.subsets import ALL, draw_subsets
from medsmith.evaluation.downstream.summary import Summary
from medsmith.evaluation.pages.page import check_results_folder, write_page
from medsmith.evaluation.roles import role_notes
from medsmith.formats.atomic import remove_temporary_files_below, write_json
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress, silent

RECORD, PAGE = "utility.json", "utility.html"
_VERSIONS = ("medsmith", "monai", "numpy", "torch")


def utility(  # noqa: PLR0913
    real: CohortLike,
    synthetic: CohortLike,
    test: CohortLike,
    out: Path | str,
    *,
    more: CohortLike | None = None,
    training: CohortLike | None = None,
    procedural: CohortLike | None = None,
    options: UtilityOptions | None = None,
    config: SegmenterConfig | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> Utility:
    """Networks trained on R, S, S then R, R + S and controls, tested on real patients that nothing learned from.

    Writes ``utility.json`` and ``utility.html``; each network's result is kept in ``out``, and the same call resumes.

    Args:
        real: real training cases, of which subsets R are drawn.
        synthetic: synthetic cases S of a generator that was trained without the test patients.
        test: real cases of other patients than those that networks and generator learn from.
        out: folder of the results.
        more: further real cases, for an arm that shows what they would bring.
        training: the cohort that the generator was trained on, if it is not ``real``.
        procedural: phantoms of the same kind, for an arm that mixes them with the real cases as R + S does S.
        options: subsets, seeds, shares, measures.
        config: training settings, equal for all arms.
        facts: additional lines of the report, such as date and machine.
        progress: display of the progress and the remaining time.
        report: receives what will be trained, and after the first steps how long that takes.

    Raises:
        CohortError: the cohorts are incompatible, no real training case is labeled, a training image or patient is in
            the test cohort, too few test patients remain, or another process writes to the folder.
        RequestError: invalid sizes of subsets, patients or grid.
        RunError: the folder holds results with other cases or settings.
        FileError: another file is in the place of the result.
    """
    config, options, progress = config or SegmenterConfig(), options or UtilityOptions(), progress or NullProgress()
    cohorts, out = Cohorts.of(real, synthetic, test, more, training, procedural), Path(out)
    check_results_folder(out, (RECORD, PAGE), [cohort.root for cohort in cohorts.named.values()])
    check_compatible(cohorts)
    generator = check_generator(cohorts.synthetic, cohorts.test, cohorts.of_generator)
    edge = grid_edge(cohorts, options.size, grid_multiple(config.architecture))
    material, apart = _material(cohorts, edge, options, progress)
    jobs = _planned(apart, options, material)
    with hold_output(out):
        check_settings(out, settings := settings_of(cohorts, edge, config, options))
        remove_temporary_files_below(out)
        train_missing(out, list(chain(*jobs)), material, options, config, progress, report)
        summary = Summary(out, Tested(apart.patients, material.structures, material.mm, options.gain), config.steps)
        sizes, unit = tuple(map(summary.of_size, jobs)), "mm" if material.mm else "pixels"
        lines = {**settings, "device": devices_line(out, chain(*jobs)), **(facts or {}), "versions": _versions()}
        result = Utility(sizes, options.gain, unit, options.tolerance, _notes(cohorts, generator, apart), lines)
        write_json(out / RECORD, result.as_json())
        write_page(utility_page(result), out / PAGE)
    return result


def _notes(cohorts: Cohorts, generator: str, apart: Separation) -> tuple[str, ...]:
    """What is known of the cohorts, the generator and the test cases."""
    roles = role_notes(cohorts.given_as_real)
    return (*roles, generator, *trained_once(cohorts), *apart.notes, *untried_phantoms(cohorts))


def _versions() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    return f"Python {platform.python_version()}, {versions}"


def _material(cohorts: Cohorts, edge: int, options: UtilityOptions, progress: Progress) -> tuple[Material, Separation]:
    """All cases in memory, the test cases apart from what anything learned from."""
    used = {**cohorts.learned_from, "test": cohorts.test}
    with progress.task("read cases", sum(map(len, used.values()))) as advance:
        loaded = {name: load_cohort(cohort, edge, advance) for name, cohort in used.items()}
    keys = {name: ImageKeys.of(each) for name, each in loaded.items()}
    if cohorts.training is not None:
        keys["generator's"] = read_keys(cohorts.training, "generator's", progress)
    test = keys.pop("test")
    check_hashes(test, keys)
    others = [each for name, each in keys.items() if name not in ("real", *MADE)]
    apart = separated(keys["real"], test, others, keys["synthetic"], options.group, options.scenes)
    names = tuple(sorted(cohorts.real.label_names, key=cohorts.real.label_names.__getitem__))[1:]
    material = Material(
        loaded["real"],
        loaded["synthetic"],
        loaded.get("further real"),
        only_cases(loaded["test"], apart.patients),
        cohorts.real.channel_names,
        names,
        loaded.get("procedural"),
    )
    _check_structures(material.test, apart)
    if not any(truth.any() for truth in material.real.truth):
        found, limit = "no case has a labeled voxel", "networks learn structures from these cases"
        raise CohortError(cohorts.real.root, found, limit, "give labeled cases")
    return material, replace(apart, patients={case_id: apart.patients[case_id] for case_id in material.test.ids})


def _planned(apart: Separation, options: UtilityOptions, material: Material) -> list[list[Job]]:
    """The networks of each size."""
    more, procedural = material.more is not None, material.procedural is not None
    arms = plan_arms(options.shares, options.mirror_of(material.structures), more=more, procedural=procedural)
    half = len(material.real) // 2
    sizes = options.cases or (half if half >= min(map(len, apart.groups)) else ALL,)
    return [jobs_of(size, draw_subsets(apart.groups, size, options.subsets), arms, options.seeds) for size in sizes]


def _check_structures(test: LoadedCohort, apart: Separation) -> None:
    having = {apart.patients[case_id] for case_id, truth in zip(test.ids, test.truth, strict=True) if truth.any()}
    check_labeled(having)
