"""The evaluation as sentences, tables and pictures."""

from collections.abc import Iterator, Sequence

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.extractors import planes
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.gather import Gathered
from medsmith.evaluation.fidelity.inception import INSTALL, Inception
from medsmith.evaluation.fidelity.masks import Measure
from medsmith.evaluation.fidelity.pairs import Compared
from medsmith.evaluation.fidelity.views import View
from medsmith.evaluation.pages.figures import Point, Samples, against_floor, histogram_with_limit, histograms
from medsmith.evaluation.pages.page import Page, Picture, Section, Table
from medsmith.evaluation.pages.sheets import Tile, contact_sheet
from medsmith.evaluation.privacy.neighbours import Neighbours
from medsmith.evaluation.result import ComparedMeasure, Evaluation, LabelComparison, Quartiles

_ROW = 6


def evaluation_page(
    evaluation: Evaluation,
    real: Gathered,
    synthetic: Gathered,
    training: Gathered,
    sources: tuple[Cohort, Cohort],
) -> Page:
    """The report of an evaluation.

    Args:
        evaluation: the numbers.
        real: what was gathered of the real cohort.
        synthetic: of the synthetic one.
        training: of what the generator learnt from.
        sources: the synthetic and the training cohort, to show pairs from.
    """
    sections = [
        _pictures(real, synthetic),
        *(_distances(evaluation, name) for name in evaluation.distances),
        *_copies(evaluation, synthetic, training, sources),
        *(_masks(evaluation, label, real, synthetic) for label in evaluation.masks),
        _method(evaluation),
    ]
    title = f"{len(synthetic.ids)} synthetic cases against {len(real.ids)} real ones"
    facts = {name: f"{identity}" for name, identity in evaluation.extractors.items()} | dict(evaluation.facts)
    return Page(title, summary_lines(evaluation), sections, facts)


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The findings, a sentence each."""
    lines = []
    for extractor, statistics in evaluation.distances.items():
        compared = statistics[FRECHET.name]
        lines.append(
            f"{extractor}: Fréchet distance {compared.synthetic} between {compared.synthetic.n} synthetic and as many "
            f"real cases; {compared.floor} between two real samples of that size (the floor). {_verdict(compared)}"
        )
    if evaluation.neighbours is not None:
        lines.append(_copy_sentence(evaluation.neighbours))
    for label, comparison in evaluation.masks.items():
        lines.append(_mask_sentence(label, comparison))
    return [*lines, *evaluation.left_out]


def _mask_sentence(label: str, comparison: LabelComparison) -> str:
    compared = {name: measure.distance for name, measure in comparison.measures.items() if measure.distance}
    apart = {name: d.synthetic.value for name, d in compared.items() if d.excess.low > 0}
    if not compared:
        return f"Masks of {label}: too few cases have it for a comparison."
    if not apart:
        return f"Masks of {label}: no measure of size, place or shape differs more than chance."
    widest = sorted(apart, key=lambda name: -apart[name])
    listed = ", ".join(f"{name} ({apart[name]:.2f})" for name in widest[:3])
    return f"Masks of {label} differ in {listed}: largest gaps of the cumulative distributions, 0 alike to 1 apart."


def _verdict(compared: Compared) -> str:
    if compared.excess.low > 0:
        return f"The cohorts differ by more than chance: {compared.excess} above the floor."
    return f"At this size they cannot be told apart by this measure: {compared.excess} above the floor."


def _copy_sentence(found: Neighbours) -> str:
    flagged = found.flagged
    count = round(flagged.value * flagged.n)
    return (
        f"{count} of {flagged.n} synthetic cases, {_percent(flagged)}, are more like a training case than 99 % of "
        f"training cases are like another scene."
    )


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _pictures(real: Gathered, synthetic: Gathered) -> Section:
    return Section(
        "What they look like",
        ("Cases spread evenly over the list of ids, not chosen. Outlines are the labels.",),
        pictures=(
            Picture(_sheet(real.shown), "Real cases."),
            Picture(_sheet(synthetic.shown), "Synthetic cases."),
        ),
    )


def _sheet(views: Sequence[View]) -> bytes:
    tiles = [_tile(view) for view in views]
    return contact_sheet([tiles[start : start + _ROW] for start in range(0, len(tiles), _ROW)])


def _tile(view: View) -> Tile:
    """The picture, or the axial slice through the centre of the labels, seen from the feet: the front above."""
    image, labels = planes(view)[-1]
    if view.image.shape[2] > 1:
        image, labels = np.ascontiguousarray(image[::-1, ::-1]), np.ascontiguousarray(labels[::-1, ::-1])
    return Tile(image, labels, view.id)


def _distances(evaluation: Evaluation, extractor: str) -> Section:
    statistics = evaluation.distances[extractor]
    rows = [
        [name, str(of.synthetic), str(of.floor), str(of.excess), str(of.synthetic.n), str(of.whole), str(of.whole.n)]
        for name, of in statistics.items()
    ]
    head = ["", "real and synthetic", "real and real (floor)", "difference", "n each", "with all cases", "n each"]
    panels = [(name, _point(compared.floor), _point(compared.synthetic)) for name, compared in statistics.items()]
    return Section(
        f"Distributions: {extractor}",
        (
            "Fréchet distance and KID: smaller is better, and the floor is as small as real data get at this size. "
            "Density (fidelity) and coverage (diversity): as high as the floor is as good as real. Fréchet distances "
            "of other sizes, extractors, grids or windows cannot be compared with these.",
        ),
        (Table(head, rows, f"95 % intervals, {evaluation.plan.draws} draws, centred bootstrap over cases."),),
        (Picture(against_floor(panels), f"{extractor}: the floor, and the synthetic cohort, at the same n."),),
    )


def _point(estimate: Estimate) -> Point:
    return Point(0, estimate.value, estimate.low, estimate.high)


def _copies(
    evaluation: Evaluation, synthetic: Gathered, training: Gathered, sources: tuple[Cohort, Cohort]
) -> Iterator[Section]:
    found = evaluation.neighbours
    if found is None:
        return
    sentences = [
        _copy_sentence(found),
        f"Similarity is the largest correlation over shifts, flips and turns; above {found.threshold:.2f} a case "
        f"counts as a copy. {100 * found.twins.value:.0f} % of the {found.twins.n} training cases have a "
        f"near-duplicate among the others; those pairs were left out of the threshold.",
    ]
    if found.held_out is not None:
        sentences.append(
            f"Of {found.held_out.n} real cases that are no part of the training cohort, {_percent(found.held_out)} "
            f"lie above it: near-duplicates across the split, or false alarms."
        )
    pairs = []
    for row in found.worst:
        made = _tile(evaluation.viewing.view(sources[0][synthetic.pictured[row]]))
        origin = _tile(evaluation.viewing.view(sources[1][training.pictured[int(found.index[row])]]))
        pairs.append((Tile(made.image, made.labels, f"{found.similarity[row]:.3f} {made.title}"), origin))
    rows = [[tile for pair in pairs[start : start + 3] for tile in pair] for start in range(0, len(pairs), 3)]
    similarity = found.similarity.astype(np.float64)
    histogram = histogram_with_limit(similarity, found.threshold, "similarity to nearest training case")
    yield Section(
        "Copies of training cases",
        sentences,
        pictures=(
            Picture(histogram, "How alike each synthetic case and its nearest training case are."),
            Picture(
                contact_sheet(rows),
                "The pairs most alike: synthetic (with its similarity), then its nearest training case.",
            ),
        ),
    )


def _masks(evaluation: Evaluation, label: str, real: Gathered, synthetic: Gathered) -> Section:
    comparison = evaluation.masks[label]
    rows = []
    for name, measure in comparison.measures.items():
        rows.append([_with_unit(name, evaluation), *_row(measure)])
    head = ["", "real: median (quartiles)", "synthetic", "Kolmogorov-Smirnov", "real and real (floor)"]
    panels = [
        Samples(_with_unit(name, evaluation), real.masks[label][name], synthetic.masks[label][name])
        for name in comparison.measures
    ]
    return Section(
        f"Masks: {label}",
        (
            f"Present in {_percent(comparison.real)} of the real and {_percent(comparison.synthetic)} of the "
            f"synthetic cases that have labels.",
        ),
        (Table(head, rows, "Over the cases that have the label."),) if rows else (),
        (Picture(histograms(panels), f"Masks of {label}: shares of cases."),) if panels else (),
    )


def _row(measure: ComparedMeasure) -> list[str]:
    apart = [str(measure.distance.synthetic), str(measure.distance.floor)] if measure.distance else ["", ""]
    return [_spread(measure.real), _spread(measure.synthetic), *apart]


def _with_unit(measure: str, evaluation: Evaluation) -> str:
    return f"{measure} ({evaluation.viewing.unit})" if measure == Measure.DIAMETER else measure


def _spread(values: Quartiles) -> str:
    low, middle, high = values
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def _method(evaluation: Evaluation) -> Section:
    sentences = [
        evaluation.viewing.sentence,
        "Floor: the same statistic between two disjoint random samples of the real cohort, as large as the samples "
        "that are compared. Intervals treat the case as the unit that is drawn.",
        "None of these numbers says whether the cases are useful: train on them and test on real ones.",
    ]
    sentences += evaluation.left_out
    if evaluation.extractors and Inception.name not in evaluation.extractors:
        sentences.append(
            f"{Inception.name} took no part (its weights come with: {INSTALL}), so that no learnt features stand "
            f"beside the plain ones."
        )
    return Section("How it was compared", sentences)
