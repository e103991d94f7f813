"""The evaluation as sentences, tables and pictures."""

from collections.abc import Sequence

import numpy as np

from medsmith.cohort import Cohort
from medsmith.evaluation.bootstrap import Estimate
from medsmith.evaluation.extractors import planes
from medsmith.evaluation.gather import Gathered
from medsmith.evaluation.inception import INSTALL, Inception
from medsmith.evaluation.masks import Measure
from medsmith.evaluation.pairs import Compared
from medsmith.evaluation.result import Evaluation, Quartiles
from medsmith.evaluation.views import View
from medsmith.report.figures import Point, Samples, against_floor, histogram_with_limit, histograms
from medsmith.report.page import Page, Picture, Section, Table
from medsmith.report.sheets import Tile, contact_sheet

_ROW = 6
_DISTANCES = ("Fréchet distance", "KID")


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
        _copies(evaluation, synthetic, training, sources),
        *(_masks(evaluation, label, real, synthetic) for label in evaluation.masks),
        _method(evaluation),
    ]
    title = f"{len(synthetic.ids)} synthetic cases against {len(real.ids)} real ones"
    facts = {name: f"{identity}" for name, identity in evaluation.extractors.items()} | dict(evaluation.facts)
    return Page(title, _summary(evaluation), sections, facts)


def _summary(evaluation: Evaluation) -> list[str]:
    lines = []
    for extractor, statistics in evaluation.distances.items():
        compared = statistics[_DISTANCES[0]]
        lines.append(
            f"{extractor}: Fréchet distance {compared.synthetic} with {compared.synthetic.n} cases each; "
            f"real from real {compared.floor} at the same size. {_verdict(compared)}"
        )
    lines.append(_copy_sentence(evaluation))
    for label, comparison in evaluation.masks.items():
        apart = {name: m.distance.synthetic.value for name, m in comparison.measures.items() if m.distance}
        if apart:
            widest = max(apart, key=lambda name: apart[name])
            lines.append(f"Masks of {label} differ most in {widest} (Kolmogorov-Smirnov {apart[widest]:.2f}).")
    return lines


def _verdict(compared: Compared) -> str:
    if compared.synthetic.low > compared.floor.high:
        return "The cohorts differ by more than chance."
    return "The intervals overlap: at this size they cannot be told apart by this measure."


def _copy_sentence(evaluation: Evaluation) -> str:
    flagged = evaluation.neighbours.flagged
    count = round(flagged.value * flagged.n)
    return (
        f"{count} of {flagged.n} synthetic cases ({_percent(flagged)}) are more like a training case than 99 % of "
        f"training cases are like another scene."
    )


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} %, {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


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
    """The picture, or the axial slice through the centre of the labels."""
    image, labels = planes(view)[-1]
    return Tile(image, labels, view.id)


def _distances(evaluation: Evaluation, extractor: str) -> Section:
    statistics = evaluation.distances[extractor]
    rows = [
        [name, str(of.synthetic), str(of.floor), str(of.synthetic.n), str(of.whole), str(of.whole.n)]
        for name, of in statistics.items()
    ]
    head = ["", "real and synthetic", "real and real (floor)", "n each", "with all cases", "n each"]
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


def _copies(evaluation: Evaluation, synthetic: Gathered, training: Gathered, sources: tuple[Cohort, Cohort]) -> Section:
    found = evaluation.neighbours
    sentences = [
        _copy_sentence(evaluation),
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
        made = _tile(evaluation.viewing.view(sources[0][synthetic.ids[row]]))
        origin = _tile(evaluation.viewing.view(sources[1][training.ids[int(found.index[row])]]))
        pairs.append((Tile(made.image, made.labels, f"{found.similarity[row]:.3f} {made.title}"), origin))
    half = -(-len(pairs) // 2)
    rows = [[tile for pair in pairs[start : start + half] for tile in pair] for start in (0, half)]
    similarity = found.similarity.astype(np.float64)
    histogram = histogram_with_limit(
        [("synthetic", similarity)], found.threshold, "similarity to nearest training case"
    )
    return Section(
        "Copies of training cases",
        sentences,
        pictures=(
            Picture(histogram, "How alike each synthetic case and its nearest training case are."),
            Picture(
                contact_sheet([row for row in rows if row]),
                "The pairs most alike: synthetic (with its similarity), then its nearest training case.",
            ),
        ),
    )


def _masks(evaluation: Evaluation, label: str, real: Gathered, synthetic: Gathered) -> Section:
    comparison = evaluation.masks[label]
    rows = []
    for name, measure in comparison.measures.items():
        apart = [str(measure.distance.synthetic), str(measure.distance.floor)] if measure.distance else ["", ""]
        rows.append([_with_unit(name, evaluation), _spread(measure.real), _spread(measure.synthetic), *apart])
    head = ["", "real: median (quartiles)", "synthetic", "Kolmogorov-Smirnov", "real and real (floor)"]
    panels = [
        Samples(_with_unit(name, evaluation), real.masks[label][name], synthetic.masks[label][name])
        for name in comparison.measures
    ]
    return Section(
        f"Masks: {label}",
        (
            f"Present in {_percent(comparison.real)} of the real and {_percent(comparison.synthetic)} of the "
            f"synthetic cases.",
        ),
        (Table(head, rows, "Over the cases that have the label."),) if rows else (),
        (Picture(histograms(panels), f"Masks of {label}: shares of cases."),) if panels else (),
    )


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
    if Inception.name not in evaluation.extractors:
        sentences.append(
            f"{Inception.name} took no part (its weights come with: {INSTALL}), so that no learnt features stand "
            f"beside the plain ones."
        )
    return Section("How it was compared", sentences)
