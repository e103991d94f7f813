"""Compares a synthetic cohort with a real one and writes a report that needs no other file."""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.data.fingerprint import Fingerprint, take_fingerprint
from medsmith.evaluation.fidelity.bootstrap import share
from medsmith.evaluation.fidelity.coverage import COVERAGE, DENSITY
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.gather import Gathered, gather
from medsmith.evaluation.fidelity.inception import Inception, find_inception
from medsmith.evaluation.fidelity.kernel import KID
from medsmith.evaluation.fidelity.masks import KOLMOGOROV_SMIRNOV
from medsmith.evaluation.fidelity.pairs import Compared, Plan, compare
from medsmith.evaluation.fidelity.radiomics import Radiomics, standardised
from medsmith.evaluation.fidelity.views import agree
from medsmith.evaluation.pages.evaluation_page import evaluation_page
from medsmith.evaluation.pages.page import write_page
from medsmith.evaluation.privacy.neighbours import find_neighbours
from medsmith.evaluation.result import ComparedMeasure, Evaluation, LabelComparison, quartiles
from medsmith.evaluation.sides import FEWEST_REAL, FEWEST_SYNTHETIC, compared_sides
from medsmith.formats.atomic import write_json
from medsmith.progress import NullProgress, Progress

STATISTICS = (FRECHET, KID, DENSITY, COVERAGE)
_VERSIONS = ("medsmith", "numpy", "scipy", "scikit-image", "torch")


def evaluate(
    real: Cohort,
    synthetic: Cohort,
    out: Path | str,
    *,
    training: Cohort | None = None,
    size: int | None = None,
    channel: str | None = None,
    plan: Plan | None = None,
    extractors: Sequence[Extractor] | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures distributions, copies and masks; writes ``evaluation.json`` and ``evaluation.html``.

    Images are compared where enough cases of both cohorts have one, masks where enough have labels; what is left out is
    said.

    Args:
        real: what the synthetic cases should look like; best cases that the generator never saw.
        synthetic: the cases to be judged.
        out: folder of the report; made where it is missing.
        training: what the generator learnt from, for the copy check; by default the real cohort.
        size: edge of the common grid; by default that of the smaller of the median images.
        channel: name of the channel to look at; by default the first.
        plan: draws, resamples and seed.
        extractors: by default FID Inception where its weights are installed, and the radiomic vector; wrap them in
            ``Remembered`` to keep features for later evaluations of the same cases.
        facts: further lines for the report, such as date and machine; without them equal inputs give equal bytes.
        progress: shows how far it is.

    Raises:
        CohortError: too few cases, or the cohorts do not fit together.
        RequestError: no such channel or size.
        FileError: a case or the weights cannot be read, or the report cannot be written.
    """
    sides = compared_sides(real, synthetic, training or real)
    plan, chosen = plan or Plan(), list(default_extractors() if extractors is None else extractors)
    chosen = chosen if sides.images else []
    facts_of = {"real": _fingerprint(real), "synthetic": _fingerprint(synthetic)}
    viewing = agree(facts_of["real"], facts_of["synthetic"], size=size, channel=channel)
    total = len(real) + len(synthetic) + (len(training) if training else 0)
    with (progress or NullProgress()).task("evaluate", total) as advance:
        of_real = gather(real, viewing, chosen, advance)
        of_synthetic = gather(synthetic, viewing, chosen, advance)
        of_training = gather(training, viewing, (), advance) if training else of_real
    evaluation = Evaluation(
        viewing=viewing,
        plan=plan,
        extractors={extractor.name: extractor.identity for extractor in chosen},
        distances=_distances(of_real, of_synthetic, plan),
        neighbours=find_neighbours(
            of_synthetic.thumbnails, of_training.thumbnails, of_real.thumbnails if training else None
        )
        if sides.copies
        else None,
        masks=_masks(of_real, of_synthetic, plan) if sides.masks else {},
        facts={**_facts(facts_of, training), **(facts or {})},
        left_out=sides.left_out,
    )
    write_json(Path(out) / "evaluation.json", evaluation.as_json())
    page = evaluation_page(evaluation, of_real, of_synthetic, of_training, (synthetic, training or real))
    write_page(page, Path(out) / "evaluation.html")
    return evaluation


def default_extractors() -> list[Extractor]:
    """FID Inception where its weights are found, and always the radiomic vector."""
    weights = find_inception()
    return [*([Inception(weights)] if weights else []), Radiomics()]


def _fingerprint(cohort: Cohort) -> Fingerprint:
    return take_fingerprint(cohort, cohort.file_ending, cohort.content_hash())


def _distances(real: Gathered, synthetic: Gathered, plan: Plan) -> dict[str, dict[str, Compared]]:
    found: dict[str, dict[str, Compared]] = {}
    for name in real.features:
        x, y = real.features[name], synthetic.features[name]
        if name == Radiomics.name:
            x, y = standardised(x, y)
        found[name] = {distance.name: compare(distance, x, y, plan) for distance in STATISTICS}
    return found


def _masks(real: Gathered, synthetic: Gathered, plan: Plan) -> dict[str, LabelComparison]:
    found: dict[str, LabelComparison] = {}
    for label, of_real in real.masks.items():
        of_synthetic = synthetic.masks[label]
        measures = {}
        for measure in of_real if of_synthetic else ():
            x, y = of_real[measure], of_synthetic[measure]
            enough = len(x) >= FEWEST_REAL and len(y) >= FEWEST_SYNTHETIC
            distance = compare(KOLMOGOROV_SMIRNOV, x[:, None], y[:, None], plan) if enough else None
            measures[measure] = ComparedMeasure(quartiles(x), quartiles(y), distance)
        found[label] = LabelComparison(
            share(_cases(of_real), len(real.labelled)),
            share(_cases(of_synthetic), len(synthetic.labelled)),
            measures,
        )
    return found


def _cases(columns: Mapping[str, np.ndarray]) -> int:
    return max((len(values) for values in columns.values()), default=0)


def _facts(of: Mapping[str, Fingerprint], training: Cohort | None) -> dict[str, str]:
    lines = {f"{name} cohort": f"{facts.count} cases, content {facts.cohort_hash}" for name, facts in of.items()}
    if training is not None:
        lines["training cohort"] = f"{len(training)} cases, content {training.content_hash()}"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    return lines | {"versions": f"Python {platform.python_version()}, {versions}"}
