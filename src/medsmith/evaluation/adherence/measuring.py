"""Measures whether the cases of a trained method are what was asked for, and writes a self-contained report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict, Field

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import RequestError
from medsmith.evaluation.adherence.page import adherence_page
from medsmith.evaluation.adherence.pairs import LEAST_PAIRS, Maker
from medsmith.evaluation.adherence.result import Adherence, LabelFidelity, MeasuredAttribute
from medsmith.evaluation.adherence.statistics import AttributeResult, corrected
from medsmith.evaluation.kept_folder import folder_key
from medsmith.evaluation.pages.earlier_report import check_same_report, cohort_line
from medsmith.evaluation.pages.page import check_results_folder, write_page
from medsmith.formats.atomic import remove_temporary_files, remove_temporary_files_below, sha256_of, write_json
from medsmith.formats.lock import hold_output
from medsmith.machine import versions
from medsmith.methods.attributes import Attribute, Draw
from medsmith.methods.base import Method
from medsmith.methods.elsewhere import version_of
from medsmith.progress import NullProgress, Progress
from medsmith.runs.checkpoints import load_method
from medsmith.runs.location import find_run

RECORD, PAGE, PAIRS = "adherence.json", "adherence.html", "pairs"
_DECIDING = ("method", "weights", "sampling", "seed", "templates", "pathology", "anatomy")
"""Facts of which a folder has the same in every call; attributes and pairs may be added."""
_SHOWN = ("templates", "pathology")
"""Cohorts that the method is shown."""


@final
class AdherenceOptions(BaseModel):
    """How much is made.

    Attributes:
        attributes: names of those that are measured; empty takes all of the method.
        pairs: of each attribute, and cases for the label fidelity.
        seed: of all cases and networks.
        steps: gradient steps of each segmenter.
        batch: cases per step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: tuple[str, ...] = ()
    pairs: int = Field(default=50, ge=LEAST_PAIRS, le=10_000)
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=1000, ge=2)
    batch: int = Field(default=16, ge=1)


def adherence(
    run: Path | str,
    out: Path | str,
    *,
    templates: CohortLike | None = None,
    anatomy: Path | str | None = None,
    pathology: CohortLike | None = None,
    real: CohortLike | None = None,
    test: CohortLike | None = None,
    options: AdherenceOptions | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Adherence:
    """Pairs of requests that differ in one attribute, and what is measured on their cases.

    Writes ``adherence.json`` and ``adherence.html``. Each pair is measured once; its numbers and its picture are kept
    in ``out``/pairs, and the same call resumes an interrupted one. More pairs may be asked of the same folder later.

    Args:
        run: a run folder, or the name of shipped weights.
        out: folder of the report; created if missing.
        templates: scans, or label maps to follow, for methods that need them.
        anatomy: file of a shape space, for ``mddpm``.
        pathology: slices with lesions, for ``mddpm``.
        real: labeled real cases, from which segmenters learn for the label fidelity; with ``test``.
        test: real cases of other patients, on which they are compared.
        options: which attributes, and how many pairs.
        facts: additional lines of the report; without them equal inputs give equal bytes.
        progress: display of the progress and the remaining time.

    Raises:
        RunError: no such run.
        RequestError: the method has no such attribute, needs what is not given, or fewer than 10 pairs could be made.
        CohortError: a report inside a cohort, a folder with the report of other inputs, or another process writes
            there.
        FileError: a case cannot be read, the report cannot be written, or another file is in its place.
    """
    out, options, progress = Path(out), options or AdherenceOptions(), progress or NullProgress()
    method = load_method(run)
    cohorts = _given(templates=templates, pathology=pathology, real=real, test=test)
    space = None if anatomy is None else Path(anatomy)
    attributes = _chosen(method, options.attributes)
    if not attributes and "real" not in cohorts:
        cure = "give real and test cohorts, for the label fidelity"
        raise RequestError("adherence", f"{method.name} declares no attribute", "nothing to measure", cure)
    check_results_folder(out, (RECORD, PAGE), [find_run(run), *(cohort.root for cohort in cohorts.values())])
    lines, roots = _facts(method, cohorts, space, options.seed), {name: each.root for name, each in cohorts.items()}
    check_same_report(out / RECORD, lambda: {name: lines.get(name) for name in _DECIDING})
    inputs = Draw(0, roots.get("templates"), space, roots.get("pathology"))
    with hold_output(out):
        remove_temporary_files(out)
        remove_temporary_files_below(out / PAIRS)
        shown = [cohorts[name] for name in _SHOWN if name in cohorts]
        maker = Maker(method, out / PAIRS / folder_key(lines, shown), options.seed, inputs)
        measured = _measured(maker, attributes, options.pairs, progress) if attributes else ()
        labels, more = _label_fidelity(maker, cohorts, options, progress)
        found = Adherence(method.name, measured, labels, {**lines, **more, **(facts or {})}, _left_out(labels))
        write_json(out / RECORD, found.as_json())
        write_page(adherence_page(found), out / PAGE)
    return found


def _given(**named: CohortLike | None) -> dict[str, Cohort]:
    """The cohorts that are given.

    Raises:
        RequestError: one of real and test cohort without the other.
    """
    cohorts = {name: as_cohort(each) for name, each in named.items() if each is not None}
    if ("real" in cohorts) != ("test" in cohorts):
        given, missing = ("real", "test") if "real" in cohorts else ("test", "real")
        limit = "the label fidelity needs both"
        raise RequestError(missing, f"none given beside {given}", limit, "give both, or neither")
    return cohorts


def _left_out(labels: LabelFidelity | None) -> tuple[str, ...]:
    if labels is not None:
        return ()
    return ("Label fidelity was not measured: it needs real cases to train a segmenter and others to test it on.",)


def _label_fidelity(
    maker: Maker, cohorts: Mapping[str, Cohort], options: AdherenceOptions, progress: Progress
) -> tuple[LabelFidelity | None, Mapping[str, str]]:
    """The label fidelity and its facts; none where no real cases are given."""
    if "real" not in cohorts:
        return None, {}
    # Networks and their training load MONAI, which takes seconds and only this part needs.
    from medsmith.evaluation.adherence.label_fidelity import RealCases, measure_labels
    from medsmith.evaluation.downstream.segmenter import SegmenterConfig

    cases = RealCases(cohorts["real"], cohorts["test"], SegmenterConfig(steps=options.steps, batch=options.batch))
    cases.check(maker)
    facts = cases.facts()
    folder = maker.folder / f"labels-{folder_key(facts, cases.cohorts)}"
    return measure_labels(replace(maker, folder=folder), cases, options.pairs, progress), facts


def _chosen(method: Method, names: Sequence[str]) -> list[Attribute]:
    known = {attribute.name: attribute for attribute in method.attributes()}
    for name in names:
        if name not in known:
            limit = f"{method.name} has {', '.join(known) or 'none'}"
            raise RequestError("attribute", f"no '{name}'", limit, "name one of these" if known else "")
    return [known[name] for name in dict.fromkeys(names or known)]


def _measured(
    maker: Maker, attributes: Sequence[Attribute], count: int, progress: Progress
) -> tuple[MeasuredAttribute, ...]:
    with progress.task("make pairs", count * len(attributes)) as advance:
        pairs = [maker.pairs(attribute, count, advance) for attribute in attributes]
    results = corrected([AttributeResult.of(each.values, maker.seed) for each in pairs])
    return tuple(map(MeasuredAttribute, attributes, pairs, results))


def _facts(method: Method, cohorts: Mapping[str, Cohort], space: Path | None, seed: int) -> dict[str, str]:
    """What decides the bytes of every pair."""
    lines = {
        "method": method.name,
        "weights": method.weights_hash,
        "sampling": f"{method.config.sampling.solver}, {method.config.sampling.steps} steps, {method.precision}",
        "seed": str(seed),
        "versions": versions(),
        **version_of(method.name),
    }
    for name in _SHOWN:
        if name in cohorts:
            lines[name] = cohort_line(cohorts[name])
    return lines | ({"anatomy": sha256_of(space)} if space else {})
