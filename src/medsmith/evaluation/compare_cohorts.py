"""Compares a synthetic cohort with a real one and writes a self-contained report."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TypeVar, final

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.cases.hounsfield import check_units
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.errors import counted
from medsmith.evaluation.alike import check_alike
from medsmith.evaluation.asked import asked_facts, options_line
from medsmith.evaluation.compare_masks import compare_masks
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures, extract_features
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.computing import computed_line
from medsmith.evaluation.fidelity.diversity import compare_diversity
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.feature_rows import feature_rows
from medsmith.evaluation.fidelity.named_extractors import default_extractors as default_extractors
from medsmith.evaluation.fidelity.permutation import corrected
from medsmith.evaluation.fidelity.seams import MIN_CASES, measure_seams
from medsmith.evaluation.fidelity.views import ViewSpec, common_view_spec
from medsmith.evaluation.origin import origin_notes
from medsmith.evaluation.pages.earlier_report import check_same_report, cohort_line
from medsmith.evaluation.pages.evaluation_page import evaluation_page
from medsmith.evaluation.pages.page import Page, check_results_folder, write_report
from medsmith.evaluation.pages.viewer_link import links_to_views
from medsmith.evaluation.painted_cases import painted_cases
from medsmith.evaluation.privacy.nearest_neighbors import NearestNeighbors, find_nearest_neighbors
from medsmith.evaluation.privacy.threshold import uncalibrated_notes
from medsmith.evaluation.result import Evaluation
from medsmith.evaluation.roles import check_roles, role_notes
from medsmith.evaluation.scope import ComparisonScope, comparison_scope, one_of_each_patient, patients_notes
from medsmith.progress import Advance, NullProgress, Progress

RECORD, PAGE = "evaluation.json", "evaluation.html"
NO_SEAMS = (
    f"Seams were not searched: fewer than {MIN_CASES} synthetic cases have a provenance that names painted boxes, a "
    "scan of the given cohorts that was painted on, and painted voxels far enough from a lesion."
)
_Value = TypeVar("_Value")
_VERSIONS = ("medsmith", "numpy", "scipy", "scikit-image", "torch")


def evaluate(  # noqa: PLR0913
    real: CohortLike,
    synthetic: CohortLike,
    out: Path | str,
    *,
    training: CohortLike | None = None,
    size: int | None = None,
    channel: str | None = None,
    plan: ComparisonPlan | None = None,
    extractors: Sequence[Extractor] | None = None,
    group: str | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare distributions, copies and masks; writes ``evaluation.json`` and ``evaluation.html``.

    Images are compared if enough cases of both have one, masks if enough have labels; the report says what is left out.

    Args:
        real: the reference cohort, preferably cases that the generator was not trained on.
        synthetic: the cases to evaluate.
        out: folder of the report; created if missing.
        training: training cohort of the generator, for the copy check; by default the real cohort.
        size: edge of the common grid in voxels; by default that of the smaller median image.
        channel: name of the compared channel; by default the first.
        plan: number of splits and halvings, and seed.
        extractors: by default FID Inception if installed, and the radiomic vector; ``CachedExtractor`` keeps features.
        group: regular expression that finds the patient in the id of a real case; one case of each is then compared.
            None takes every case for one of another patient.
        facts: additional lines of the report; without them equal inputs give equal bytes, but for links to viewers.
        progress: display of the progress.

    Raises:
        CohortError: too few cases, incompatible or swapped cohorts, a report inside one of them, a folder with the
            report of other inputs, or another process writes there.
        ContentError: a CT that is not in Hounsfield units.
        RequestError: invalid channel, size or expression.
        FileError: a case or the weights cannot be read, the report cannot be written, or another file is in its place.
    """
    real, synthetic = as_cohort(real), as_cohort(synthetic)
    training = None if training is None else as_cohort(training)
    check_results_folder(Path(out), (RECORD, PAGE), _roots_of(real, synthetic, training))
    options = options_line(size, channel, plan, extractors, group)
    check_same_report(Path(out) / RECORD, lambda: asked_facts(real, synthetic, training, options, group))
    found = compare_cohorts(
        real,
        synthetic,
        out,
        training=training,
        size=size,
        channel=channel,
        plan=plan,
        extractors=extractors,
        group=group,
        facts=facts,
        progress=progress,
    )
    write_report(Path(out), (RECORD, PAGE), found.evaluation.as_json(), found.page)
    return found.evaluation


@final
@dataclass(frozen=True, eq=False)
class ComparedCohorts:
    """An evaluation with what it was computed from.

    Attributes:
        evaluation: the numbers.
        page: the report.
        real: features of the real cohort.
        synthetic: features of the synthetic cohort.
    """

    evaluation: Evaluation
    page: Page
    real: CohortFeatures
    synthetic: CohortFeatures


def compare_cohorts(  # noqa: PLR0913
    real: CohortLike,
    synthetic: CohortLike,
    out: Path | str,
    *,
    training: CohortLike | None = None,
    size: int | None = None,
    channel: str | None = None,
    plan: ComparisonPlan | None = None,
    extractors: Sequence[Extractor] | None = None,
    group: str | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> ComparedCohorts:
    """What ``evaluate`` finds, unwritten; arguments and errors are the same."""
    every, synthetic = as_cohort(real), as_cohort(synthetic)
    real = one_of_each_patient(every, group)
    training = None if training is None else as_cohort(training)
    cohorts = [cohort for cohort in (real, synthetic, training) if cohort is not None]
    check_results_folder(Path(out), (RECORD, PAGE), _roots_of(real, synthetic, training))
    scope = comparison_scope(real, synthetic, training or real)
    check_alike(real, synthetic, training or real, channel=channel)
    check_roles(_given_as_real(real, training), synthetic)
    options = options_line(size, channel, plan, extractors, group)
    plan, found = plan or ComparisonPlan(), default_extractors() if extractors is None else extractors
    chosen = list(found) if scope.images else []
    shown = progress or NullProgress()
    with shown.task("read", len(real) + len(synthetic)) as advance:
        fingerprints = {"real": _fingerprint(real, advance), "synthetic": _fingerprint(synthetic, advance)}
    view_spec = common_view_spec(fingerprints["real"], fingerprints["synthetic"], size=size, channel=channel)
    for extractor in chosen:
        extractor.parts(view_spec)
    with shown.task("evaluate", sum(map(len, cohorts))) as advance:
        of_real, of_synthetic = (extract_features(each, view_spec, chosen, advance) for each in (real, synthetic))
        of_training = extract_features(training, view_spec, (), advance) if training else of_real
    with shown.task("look for seams", 1) as advance:
        seams = _seams(synthetic, (training or real, real), view_spec, plan)
        advance(1, "")
    evaluation = _measure((of_real, of_synthetic, of_training), chosen, scope, view_spec, plan, shown)
    evaluation = replace(
        evaluation,
        seams=seams,
        notes=(
            *patients_notes(every, real),
            *role_notes(_given_as_real(real, training)),
            *_notes(evaluation, (real, of_real), of_training if training else None, synthetic),
        ),
        facts={**_facts(fingerprints, training, chosen), "options": options, **(facts or {})},
        left_out=(*scope.left_out, *((NO_SEAMS,) if scope.images and seams is None else ())),
    )
    page = evaluation_page(evaluation, of_real, of_synthetic, of_training, (synthetic, training or real))
    page = replace(page, links=links_to_views(_roots(real, synthetic), Path(out) / PAGE))
    return ComparedCohorts(evaluation, page, of_real, of_synthetic)


def _given_as_real(real: Cohort, training: Cohort | None) -> dict[str, Cohort]:
    return {"real": real} | ({"training": training} if training else {})


def _roots_of(*cohorts: Cohort | None) -> list[Path]:
    return [cohort.root for cohort in cohorts if cohort is not None]


def _notes(
    evaluation: Evaluation, real: tuple[Cohort, CohortFeatures], training: CohortFeatures | None, synthetic: Cohort
) -> tuple[str, ...]:
    """What limits or explains the results."""
    cohort, features = real
    images = features.with_image, features.searchable.coarse
    known = None if training is None else training.searchable.coarse
    few: tuple[str, ...] = ()
    if evaluation.nearest_neighbors is not None:
        whose = "held-out" if evaluation.nearest_neighbors.held_out_given else "real"
        few = uncalibrated_notes({"whole images": evaluation.nearest_neighbors.threshold}, whose)
    return (*origin_notes("real", cohort, images, known, synthetic), *few)


def _roots(real: Cohort, synthetic: Cohort) -> dict[str, Path]:
    return {"synthetic": synthetic.root, "real": real.root}


def _fingerprint(cohort: Cohort, advance: Advance) -> Fingerprint:
    def checked() -> Iterator[Case]:
        for case in cohort:
            yield check_units(case)
            advance(1, case.id)

    return take_fingerprint(checked(), cohort.file_ending, cohort.content_hash())


def _copies(real: CohortFeatures, synthetic: CohortFeatures, training: CohortFeatures) -> NearestNeighbors:
    """Copies of training cases; real cases are the comparison where they are others than those of the training."""
    others = None if real is training or not len(real.searchable) else real.searchable
    return find_nearest_neighbors(synthetic.searchable, training.searchable, others)


def _measure(
    features: tuple[CohortFeatures, CohortFeatures, CohortFeatures],
    extractors: Sequence[Extractor],
    scope: ComparisonScope,
    view_spec: ViewSpec,
    plan: ComparisonPlan,
    progress: Progress,
) -> Evaluation:
    """What follows from the features of the real, the synthetic and the training cohort."""
    real, synthetic, training = features
    rows = list(feature_rows(real, synthetic, extractors, view_spec))
    with progress.task("measure", 2 * len(rows) + 3) as advance:

        def done(value: _Value, what: str) -> _Value:
            advance(1, what)
            return value

        return Evaluation(
            view_spec=view_spec,
            plan=plan,
            extractors={extractor.name: extractor.identity for extractor in extractors},
            distances={row.name: done(row.compare(plan), row.name) for row in rows},
            nearest_neighbors=done(_copies(real, synthetic, training) if scope.copies else None, "copies"),
            masks=done(compare_masks(real, synthetic, plan) if scope.masks else {}, "masks"),
            facts={},
            permutations=corrected({row.name: done(row.test(plan), row.name) for row in rows}),
            diversity=done(
                compare_diversity(real.compared, synthetic.compared, seed=plan.seed) if scope.images else {},
                "diversity",
            ),
        )


def _seams(
    synthetic: Cohort, originals: Sequence[Cohort], view_spec: ViewSpec, plan: ComparisonPlan
) -> Estimate | None:
    if view_spec.channel is None:
        return None
    return measure_seams(painted_cases(synthetic, originals, view_spec.channel_name), seed=plan.seed)


def _facts(
    fingerprints: Mapping[str, Fingerprint], training: Cohort | None, extractors: Sequence[Extractor]
) -> dict[str, str]:
    lines = {
        f"{name} cohort": f"{counted(facts.count, 'case')}, content {facts.cohort_hash}"
        for name, facts in fingerprints.items()
    }
    if training is not None:
        lines["training cohort"] = cohort_line(training)
    if extractors:
        lines["features"] = computed_line(extractors)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    return lines | {"versions": f"Python {platform.python_version()}, {versions}"}
