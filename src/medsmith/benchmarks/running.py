"""Runs a paper: stand-in cases, every row, the record and the page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from medsmith.anatomy import ShapeSpace
from medsmith.benchmarks.lesions import lesion_values
from medsmith.benchmarks.page import bench_page
from medsmith.benchmarks.paper import Inputs, Paper
from medsmith.benchmarks.papers import find_paper
from medsmith.benchmarks.patients import TEST, TRAIN, check_test_patients, held_line, patients_sentence
from medsmith.benchmarks.result import BenchResult
from medsmith.benchmarks.rows import FEATURES, SEED, Bench
from medsmith.benchmarks.scales import Scale, find_scale
from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.downstream.inputs import NAMES, SETTINGS, check_complete, check_settings
from medsmith.evaluation.downstream.separation import check_hashes, read_keys
from medsmith.evaluation.kept_folder import names_line
from medsmith.evaluation.pages.earlier_report import cohort_line
from medsmith.evaluation.pages.page import check_results_folder, write_page
from medsmith.formats.atomic import is_free, remove_temporary_files, remove_temporary_files_below, write_json
from medsmith.formats.lock import hold_output
from medsmith.machine import facts
from medsmith.phantoms.families import find_family, phantom
from medsmith.progress import NullProgress, Progress, silent

RECORD, PAGE = "bench.json", "bench.html"


def bench(
    paper: str,
    out: Path | str,
    *,
    scale: str = "smoke",
    real: CohortLike | None = None,
    test: CohortLike | None = None,
    templates: CohortLike | None = None,
    group: str | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] = silent,
) -> BenchResult:
    """Make a paper's tables in shape; the same call continues an interrupted one.

    Every row is trained for equally many updates, makes equally many cases, and is compared with test cases that
    nothing learned from: Fréchet distances with their floor, and segmentation networks against real cases with strong
    augmentation. Writes ``bench.json`` and ``bench.html``.

    Args:
        paper: key of ``PAPERS``.
        out: folder of cohorts, runs and results.
        scale: key of ``SCALES``.
        real: labeled cases to learn from; by default phantoms.
        test: labeled cases of other patients, given together with ``real``.
        templates: scans without lesions, where the paper inserts lesions; by default phantoms.
        group: regular expression that finds the patient in an id of ``real`` and ``test``, as in ``evaluate`` and
            ``utility``; None: each case is of another one, as each phantom is.
        progress: of every step.
        report: receives one line per row.

    Raises:
        RequestError: unknown paper or scale, only one of ``real`` and ``test``, or an expression that does not find the
            patients of both.
        CohortError: cohorts do not fit or share an image or a patient, or ``out`` lies in one of them.
        RunError: ``out`` has another paper, scale, expression or other cohorts, or holds something else.
        MedsmithError: whatever training, synthesis and measuring raise.
    """
    chosen, size, out = find_paper(paper), find_scale(scale), Path(out)
    if (real is None) != (test is None):
        raise RequestError("bench", "one of the cohorts to learn from and to test on", "both, or none", "give both")
    named = {TRAIN: real, TEST: test, "templates": templates if chosen.templates else None}
    given = {name: as_cohort(each) for name, each in named.items() if each is not None}
    check_results_folder(out, (RECORD, PAGE), [each.root for each in given.values()])
    _check_own(out)
    progress = progress or NullProgress()
    _check_given(chosen, given, group, progress)
    with hold_output(out):
        check_settings(out, _settings(chosen, size, given, group))
        remove_temporary_files(out)
        remove_temporary_files_below(out / FEATURES)
        inputs = replace(_inputs(chosen, size, out, (real, test, templates), progress), group=group)
        run = Bench(chosen, size, out, inputs, progress, report)
        rows = tuple(run.result(row) for row in chosen.rows)
        data = "the cohorts that were given" if real is not None else f"phantoms of the family {chosen.phantoms}"
        lines = {"scale": size.name, "data": data, **_contents(chosen, inputs), **facts()}
        result = BenchResult(chosen, rows, lines, patients_sentence(given, group))
        write_json(out / RECORD, result.as_json())
        write_page(bench_page(result, {row.name: run.cases_of(row) for row in chosen.rows}), out / PAGE)
    return result


def _settings(paper: Paper, scale: Scale, given: Mapping[str, Cohort], group: str | None) -> dict[str, str]:
    """What all that lies in the folder of a run depends on; cohorts that are not given are phantoms, by both names."""
    cohorts = {f"{name} cases": cohort_line(each) for name, each in given.items()}
    names = {f"{name} {NAMES}": names_line(each) for name, each in given.items()}
    groups = {} if group is None else {"group": group}
    return {"paper": paper.name, "scale": scale.name, **cohorts, **names, **groups}


def _check_own(out: Path) -> None:
    """Refuses a folder that holds something else: a cohort or a run would get cases and runs of others into it.

    Raises:
        RunError: it does.
    """
    if out.is_dir() and not (out / SETTINGS).exists() and not is_free(out):
        raise RunError(
            out, f"holds something else (no {SETTINGS})", "tables have a folder of their own", "choose another"
        )


def _check_whole(cohort: Cohort) -> None:
    """Refuses some cases of a folder (``Cohort.subset``): rows are made from folders, with all that these hold.

    Raises:
        CohortError: it has fewer cases than its folder.
    """
    if (whole := len(Cohort.open(cohort.root))) != len(cohort):
        found, limit = f"{len(cohort)} of the {whole} cases of its folder", "bench takes whole folders"
        raise CohortError(cohort.root, found, limit, "write these cases to a folder of their own (medsmith split)")


def _check_given(paper: Paper, given: Mapping[str, Cohort], group: str | None, progress: Progress) -> None:
    """Refuses cohorts that no row can be made of, before anything is made.

    Args:
        paper: of the run.
        given: name -> cohort; those to learn from and to test on, or neither.
        group: finds the patients of both.
        progress: of reading their images.

    Raises:
        RequestError: the expression does not find them.
        CohortError: no case, other dimensions than the paper's images, other channels or labels than the first
            cohort's, no label of lesions where these are measured, a patient in both, too few to test on, a case
            without image or labels, or an image in both.
    """
    cohorts = [given[name] for name in (TRAIN, TEST) if name in given]
    for cohort in given.values():
        _check_whole(cohort)
    for cohort in cohorts:
        if not len(cohort):
            raise CohortError(cohort.root, "no cases", "labeled cases", "give a cohort that has some")
        if (dimensions := cohort.geometry(cohort.ids[0]).dimensions) != paper.dimensions:
            limit = f"the images of '{paper.name}' are {paper.dimensions}-D"
            raise CohortError(cohort.root, f"is {dimensions}-D", limit, "give other cohorts, or name another paper")
        if paper.lesions_alone:
            lesion_values(cohort)
        first = cohorts[0]
        if (cohort.channel_names, dict(cohort.label_names)) != (first.channel_names, dict(first.label_names)):
            limit = "the cohorts to learn from and to test on have the same"
            raise CohortError(cohort.root, f"other channels or labels than {first.root}", limit, "prepare them alike")
    check_test_patients(given, group)
    for cohort in cohorts:
        check_complete(cohort)
    if cohorts:
        train, test = (
            read_keys(each, whose, progress) for each, whose in zip(cohorts, ("training", "test"), strict=True)
        )
        check_hashes(test, {"training": train})


def _inputs(
    paper: Paper,
    scale: Scale,
    out: Path,
    given: tuple[CohortLike | None, CohortLike | None, CohortLike | None],
    progress: Progress,
) -> Inputs:
    """The cohorts that are given, phantoms in place of those that are not, and the shape space."""

    def cohort(value: CohortLike | None, name: str, family: str, count: int, seed: int) -> Path:
        if value is not None:
            return as_cohort(value).root
        edge = max(scale.edge(paper.dimensions), find_family(family).sizes[0])
        return phantom(family, out / "cases" / name, count, seed=seed, size=edge, progress=progress).root

    train = cohort(given[0], "train", paper.phantoms, scale.train, SEED)
    test = cohort(given[1], "test", paper.phantoms, scale.test, SEED + 1)
    templates = cohort(given[2], "templates", paper.templates, scale.train, SEED + 2) if paper.templates else train
    space = out / "cases" / "space.safetensors"
    if paper.shape_space and not space.exists():
        ShapeSpace.fit(Cohort.open(train), progress=progress).save(space)
    return Inputs(train, test, templates, space)


def _contents(paper: Paper, inputs: Inputs) -> dict[str, str]:
    found = {TRAIN: inputs.train, TEST: inputs.test} | ({"templates": inputs.templates} if paper.templates else {})
    cohorts = {name: Cohort.open(path) for name, path in found.items()}
    groups = {TRAIN: inputs.group, TEST: inputs.group}
    return {
        f"{name} cases": f"{held_line(each, groups.get(name))}, content {each.content_hash()}"
        for name, each in cohorts.items()
    }
