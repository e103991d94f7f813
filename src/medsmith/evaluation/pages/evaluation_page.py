"""The HTML page of an evaluation: sentences, tables and pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from medsmith.cases.cohort import Cohort
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.cohort_features import CohortFeatures
from medsmith.evaluation.fidelity.comparison import Comparison
from medsmith.evaluation.fidelity.frechet import FRECHET
from medsmith.evaluation.fidelity.half_samples import HEAVY_TAILS, METHOD, METHOD_OF_LARGEST
from medsmith.evaluation.fidelity.inception import INSTALL, Inception
from medsmith.evaluation.fidelity.masks import Measure
from medsmith.evaluation.pages.answer import real_enough
from medsmith.evaluation.pages.figures import Point, Samples, against_floor, histogram_with_limit, histograms
from medsmith.evaluation.pages.page import Page, Picture, Section, Table
from medsmith.evaluation.pages.sections import (
    permutation_sentence,
    seam_sentences,
    similarity_and_seams,
    similarity_sentences,
)
from medsmith.evaluation.pages.sheets import Tile, contact_sheet, legend_of, plane_tiles
from medsmith.evaluation.pages.verdicts import METHOD as TESTS
from medsmith.evaluation.pages.verdicts import disagreement, image_verdict, mask_lines, mask_verdict, p_text
from medsmith.evaluation.privacy.nearest_neighbors import NearestNeighbors
from medsmith.evaluation.result import ComparedMeasure, Evaluation, Quartiles

_ROW = 6
_UNKNOWN_TRAINING = " Whether they copy what the generator learned from needs its training cohort (--training)."


def evaluation_page(
    evaluation: Evaluation,
    real: CohortFeatures,
    synthetic: CohortFeatures,
    training: CohortFeatures,
    sources: tuple[Cohort, Cohort],
) -> Page:
    """The report of an evaluation.

    Args:
        evaluation: the numbers.
        real: features of the real cohort.
        synthetic: features of the synthetic cohort.
        training: features of the training cohort of the generator.
        sources: the synthetic and the training cohort, from which the most similar pairs are shown.
    """
    sections = [
        _pictures(real, synthetic, sources),
        *(_distances(evaluation, name) for name in evaluation.distances),
        *similarity_and_seams(evaluation),
        *_copies(evaluation, synthetic, training, sources),
        *(_masks(evaluation, label, real, synthetic) for label in evaluation.masks),
        _method(evaluation),
    ]
    title = f"{len(synthetic.ids)} synthetic cases against {len(real.ids)} real ones"
    facts = {name: f"{identity}" for name, identity in evaluation.extractors.items()} | dict(evaluation.facts)
    return Page(title, summary_lines(evaluation), sections, facts)


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The answer, then the main results, one sentence each."""
    lines = [real_enough(evaluation), *evaluation.notes]
    for extractor, statistics in evaluation.distances.items():
        if extractor not in evaluation.extractors:
            continue
        compared = statistics[FRECHET.name]
        lines.append(
            f"{extractor}: Fréchet distance {compared.synthetic} between {compared.synthetic.n} synthetic and as many "
            f"real cases; {compared.floor} between two real samples of that size (the floor). "
            f"{image_verdict(evaluation, extractor)}"
        )
    lines += disagreement(evaluation)
    lines += [*similarity_sentences(evaluation), *seam_sentences(evaluation)]
    if evaluation.nearest_neighbors is not None:
        lines.append(_copy_sentence(evaluation.nearest_neighbors))
    return [*lines, *mask_lines(evaluation.masks), *evaluation.left_out]


def _copy_sentence(found: NearestNeighbors) -> str:
    flagged = found.flagged
    count = round(flagged.value * flagged.n)
    kind, whose = _nearest_kind(found), f"{'held-out' if found.held_out_given else 'other'} real cases"
    return (
        f"{count} of {flagged.n} synthetic cases, {_percent(flagged)}, are more similar to a {kind} case "
        f"than the threshold of {found.limit:.2f} ({found.threshold.origin(whose)}).{_exact(found)}"
        f"{'' if found.held_out_given else _UNKNOWN_TRAINING}"
    )


def _exact(found: NearestNeighbors) -> str:
    """How many are exact copies; nothing if none is."""
    if not found.exact:
        return ""
    are = "1 is an exact copy" if len(found.exact) == 1 else f"{len(found.exact)} are exact copies"
    return f" {are} (similarity 1.000), which chance does not explain."


def _nearest_kind(found: NearestNeighbors) -> str:
    """What the synthetic cases were compared with: without a training cohort, the real one."""
    return "training" if found.held_out_given else "real"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _pictures(real: CohortFeatures, synthetic: CohortFeatures, sources: tuple[Cohort, Cohort]) -> Section:
    names = _label_names(sources)
    return Section(
        "Examples",
        ("Cases evenly spaced over the list of ids, not selected. Outlines are the labels.",),
        pictures=(
            _sheet([plane_tiles(view)[-1] for view in real.examples], _ROW, "Real cases.", names),
            _sheet([plane_tiles(view)[-1] for view in synthetic.examples], _ROW, "Synthetic cases.", names),
        ),
    )


def _label_names(sources: tuple[Cohort, Cohort]) -> Mapping[str, int]:
    """Of both cohorts, which have the same unless one has no labels."""
    return {**sources[0].label_names, **sources[1].label_names}


def _sheet(tiles: Sequence[Tile], across: int, caption: str, names: Mapping[str, int]) -> Picture:
    """Tiles in rows, with the legend of their outlines."""
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    return Picture(contact_sheet(rows), caption, legend_of(tiles, names))


def _distances(evaluation: Evaluation, extractor: str) -> Section:
    statistics = evaluation.distances[extractor]
    panels = [(name, _point(compared.floor), _point(compared.synthetic)) for name, compared in statistics.items()]
    caption = f"{extractor}: floor and synthetic cohort at the same n."
    # Parts of an extractor have tables alone, so that the page stays short.
    pictures = (Picture(against_floor(panels), caption),) if extractor in evaluation.extractors else ()
    return Section(
        f"Distributions: {extractor}",
        (
            permutation_sentence(evaluation, extractor),
            "Fréchet distance, KID and Gaussian MMD: smaller is better; the floor is the value between real samples "
            "of this size. Density (fidelity) and coverage (diversity): values at the floor are as good as "
            "real data. Fréchet distances are comparable only at equal sample size, extractor, grid and gray range.",
            HEAVY_TAILS,
        ),
        _distance_tables(statistics, evaluation.plan.splits),
        pictures,
    )


def _distance_tables(statistics: Mapping[str, Comparison], splits: int) -> tuple[Table, Table]:
    """At the size that has a floor, and of all cases: apart, since distances of other n cannot be compared."""
    with_floor = [
        [name, str(of.synthetic), str(of.floor), str(of.excess), str(of.synthetic.n)] for name, of in statistics.items()
    ]
    of_all = [[name, str(of.whole), str(of.whole.n)] for name, of in statistics.items()]
    method = f"95 % intervals, {splits} random splits; {METHOD}."
    note = "With all cases, without a floor; not to be compared with the values above, which rest on other numbers."
    return (
        Table(["", "real and synthetic", "real and real (floor)", "difference", "n each"], with_floor, method),
        Table(["", "real and synthetic, all cases", "n each"], of_all, note),
    )


def _point(estimate: Estimate) -> Point:
    return Point(0, estimate.value, estimate.low, estimate.high)


def _copies(
    evaluation: Evaluation, synthetic: CohortFeatures, training: CohortFeatures, sources: tuple[Cohort, Cohort]
) -> Iterator[Section]:
    found = evaluation.nearest_neighbors
    if found is None:
        return
    kind = _nearest_kind(found)
    sentences = [
        _copy_sentence(found),
        f"Similarity is the largest correlation over shifts, flips, rotations, small zooms and inverted contrast; "
        f"above {found.limit:.2f} ({found.threshold.limit.low:.2f} to {found.threshold.limit.high:.2f}) a case counts "
        f"as a copy.",
    ]
    if found.near_duplicates is not None:
        sentences[-1] += (
            f" {100 * found.near_duplicates.value:.0f} % of the {found.near_duplicates.n} real cases compared "
            f"have a near-duplicate among the {kind} cases; these do not enter the threshold."
        )
    if found.held_out is not None:
        sentences.append(
            f"Of {found.held_out.n} real cases outside the training cohort, {_percent(found.held_out)} are above a "
            f"threshold computed without them: false alarms."
        )
    tiles = []
    for row in found.worst:
        generated = plane_tiles(evaluation.view_spec.view(sources[0][synthetic.with_image[row]]))[-1]
        origin = plane_tiles(evaluation.view_spec.view(sources[1][training.with_image[int(found.index[row])]]))[-1]
        tiles += [replace(generated, title=f"{found.similarity[row]:.3f} {generated.title}"), origin]
    histogram = histogram_with_limit(found.similarity, found.limit, f"similarity to nearest {kind} case")
    yield Section(
        f"Copies of {kind} cases",
        sentences,
        pictures=(
            Picture(histogram, f"Similarity of each synthetic case to its nearest {kind} case."),
            _sheet(
                tiles,
                _ROW,
                f"The most similar pairs: synthetic case (with its similarity), then its nearest {kind} case.",
                _label_names(sources),
            ),
        ),
    )


def _masks(evaluation: Evaluation, label: str, real: CohortFeatures, synthetic: CohortFeatures) -> Section:
    comparison = evaluation.masks[label]
    panels = [
        Samples(_with_unit(name, evaluation), real.masks[label][name], synthetic.masks[label][name])
        for name in comparison.measures
    ]
    return Section(
        f"Masks: {label}",
        (
            f"Present in {_percent(comparison.real)} of the real and {_percent(comparison.synthetic)} of the "
            f"synthetic cases that have labels (p = {p_text(comparison.presence.p)}, by Holm "
            f"{p_text(comparison.presence.corrected)}).",
            mask_verdict(label, comparison),
        ),
        tuple(_mask_tables({_with_unit(name, evaluation): each for name, each in comparison.measures.items()})),
        (Picture(histograms(panels), f"Masks of {label}: proportions of cases."),) if panels else (),
    )


def _mask_tables(measures: Mapping[str, ComparedMeasure]) -> Iterator[Table]:
    """Both cohorts with the test of each measure, then the distances against their floor."""
    if measures:
        head = ["", "real: median (quartiles)", "synthetic", "distance", "p", "p, Holm"]
        rows = [
            [name, _spread(of.real), _spread(of.synthetic), f"{of.test.value:.2f}", *map(p_text, _p_values(of))]
            for name, of in measures.items()
        ]
        yield Table(head, rows, f"Over the cases that have the label; Kolmogorov-Smirnov distance of all. {TESTS}")
    against_floor = {name: of.distance for name, of in measures.items() if of.distance is not None}
    if against_floor:
        head = ["", "real and synthetic", "real and real (floor)", "n each"]
        rows = [
            [name, str(each.synthetic), str(each.floor), str(each.synthetic.n)] for name, each in against_floor.items()
        ]
        yield Table(
            head, rows, f"Kolmogorov-Smirnov distance at the size of half of the real cases; {METHOD_OF_LARGEST}."
        )


def _p_values(measure: ComparedMeasure) -> tuple[float, float]:
    return measure.test.p, measure.test.corrected


def _with_unit(measure: str, evaluation: Evaluation) -> str:
    return f"{measure} ({evaluation.view_spec.unit})" if measure == Measure.DIAMETER else measure


def _spread(values: Quartiles) -> str:
    low, middle, high = values
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def _method(evaluation: Evaluation) -> Section:
    sentences = [
        evaluation.view_spec.description,
        "Floor: the same statistic between two disjoint random samples of the real cohort, of the same size as the "
        "compared samples. The case is the unit of resampling and of every test: where several real cases are of one "
        "patient, p is too small and intervals are too narrow, unless one of each is compared (--group).",
        "These numbers do not measure the utility of the cases: for that, train on them and test on real ones.",
    ]
    sentences += [*evaluation.notes, *evaluation.left_out]
    if evaluation.extractors and Inception.name not in evaluation.extractors:
        sentences.append(
            f"{Inception.name} features were not computed because the weights are missing; install them with: "
            f"{INSTALL}."
        )
    return Section("Methods", sentences)
