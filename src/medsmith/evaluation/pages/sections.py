"""Sentences and tables on diversity, seams and equal distributions, for the page of an evaluation."""

from collections.abc import Iterator

from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.diversity import Diversity
from medsmith.evaluation.pages.page import Section, Table
from medsmith.evaluation.pages.verdicts import p_of
from medsmith.evaluation.result import Evaluation

_SEAM = 0.8
"""AUC above which a segmentation network may learn the seam."""
_NO_SEAM = 0.6
"""Upper end of the interval of the AUC below which there is no seam to speak of."""


def permutation_sentence(evaluation: Evaluation, name: str) -> str:
    """Whether the distributions of some features may be equal."""
    test = evaluation.permutations[name]
    return (
        f"Permutation test of equal distributions (Gaussian MMD {test.value:.3g}, its width the median distance): "
        f"{p_of(evaluation, name)}; {test.real} real and {test.synthetic} synthetic cases, {test.permutations} "
        "exchanges."
    )


def similarity_sentences(evaluation: Evaluation) -> list[str]:
    """Whether synthetic images are more alike than real ones, by each measure; nothing if images were not compared."""
    return [_similarity_sentence(name, found) for name, found in evaluation.diversity.items()]


def _similarity_sentence(name: str, found: Diversity) -> str:
    verdict = "is no larger than chance explains"
    if found.difference.low > 0:
        verdict = "says that the synthetic images are less diverse"
    elif found.difference.high < 0:
        verdict = "says that the synthetic images are less alike than real ones"
    return (
        f"Diversity: {name} of pairs is {found.synthetic} among synthetic and {found.real} among real images, n = "
        f"{found.real.n} each; the difference, {found.difference}, {verdict}."
    )


def seam_sentences(evaluation: Evaluation) -> list[str]:
    """Whether borders of painted regions can be told; nothing if none are known."""
    return [] if evaluation.seams is None else [seam_sentence(evaluation.seams)]


def seam_sentence(found: Estimate) -> str:
    """What the AUC of a classifier of border patches shows, and no more."""
    verdict = f"no seam that {found.n} cases can show"
    if found.low > 0.5:
        verdict = "painted regions have seams" + (
            ", which a segmentation network may learn instead of the lesion" if found.value > _SEAM else ""
        )
    elif found.high < _NO_SEAM:
        verdict = "by it the borders of painted regions cannot be told from untouched image"
    return f"Seams: a classifier of border patches reaches an AUC of {found} over {found.n} cases: {verdict}."


def similarity_and_seams(evaluation: Evaluation) -> Iterator[Section]:
    """The sections on diversity and seams, where they were measured."""
    if evaluation.diversity:
        tables = [_similarity_table(name, found) for name, found in evaluation.diversity.items()]
        yield Section("Diversity", similarity_sentences(evaluation), tables)
    if evaluation.seams is not None:
        method = (
            "Patches across the border of what was painted, without lesion, against the same places of the scan that "
            "was painted on; a logistic regression learns from half of the scans, and cases of the others are scored."
        )
        yield Section("Seams", [*seam_sentences(evaluation), method])


def _similarity_table(name: str, found: Diversity) -> Table:
    parts = {"real": found.real, "synthetic": found.synthetic, "synthetic minus real": found.difference}
    caption = (
        f"Mean {name} of pairs; 95 % intervals, {found.real.interval}; of the difference, {found.difference.interval}."
    )
    return Table(["", name, "n"], [[part, str(value), str(value.n)] for part, value in parts.items()], caption)
