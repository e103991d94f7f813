"""The page of the measure of adherence: a verdict on each attribute, its numbers, and pictures of its pairs."""

from collections.abc import Iterator, Sequence

from medsmith.errors import counted
from medsmith.evaluation.adherence.result import Adherence, LabelFidelity, MeasuredAttribute
from medsmith.evaluation.adherence.statistics import AttributeResult
from medsmith.evaluation.pages.page import Page, Picture, Section, Table

HEAD = ("", "asked for", "measured", "AUC", "shuffled", "difference", "order", "p, Holm", "pairs", "verdict")
_PAIRS = (
    "The cases of a pair are made from one seed for requests that differ in one attribute; nothing is made again where "
    "it misses the request."
)
_METHODS = (
    "AUC: probability that, of two cases, one asked for the last and one for the first level, "
    "the former measures more (DeLong's interval with pairs as clusters, on the logit scale; Newcombe's at 0 and 1). "
    "Difference: mean over pairs (Student's interval). Order: Kendall's tau-b of level and property in each draw, mean "
    "over draws. Intervals are 95 %.",
    "Shuffled: the AUC where the requests of each pair are exchanged at random, mean and 95 % of the exchanges. p: "
    "share of the exchanges whose AUC is as far from .5, corrected by Holm's procedure over the attributes.",
    "Controlled: the interval of the AUC lies above .5 and p is below .05; reversed: it lies below. Uncontrolled: "
    "neither. A verdict holds for these weights, templates and levels.",
)
_LABELS = (
    "Networks that learned from real cases alone find the structures in each image. Dice with the case's own map is "
    "compared with Dice with the map of the next case, which an image that follows no map reaches as well. Beside it "
    "stands their Dice on the real test cases, which the images need not exceed. A structure that a map lacks is left "
    "out of its mean."
)


def adherence_page(found: Adherence) -> Page:
    """The report."""
    sections = [
        *([Section("Attributes", tables=[attribute_table(found.attributes)])] if found.attributes else []),
        *([label_section(found.labels)] if found.labels else []),
        *(_pair_section(each) for each in found.attributes),
        Section("Methods", (*([_PAIRS] if found.attributes else []), *_METHODS, *found.left_out)),
    ]
    asked = f"Does {found.method} make what is asked for?" if found.method else "Do images show what label maps say?"
    return Page(asked, summary_lines(found), sections, found.facts)


def summary_lines(found: Adherence) -> list[str]:
    """The main results, one sentence each."""
    lines = [_sentence(each.attribute.name, each.result, each.attribute.enforced) for each in found.attributes]
    return [*lines, *(label_lines(found.labels) if found.labels else ()), *found.left_out]


def label_lines(labels: LabelFidelity) -> list[str]:
    """What segmenters found of each label, one sentence each."""
    return [
        f"Label '{name}': Dice {result.values[:, -1].mean():.3g} with its own map, {result.values[:, 0].mean():.3g} "
        f"with another's, {labels.real[name]} on real cases; {result.verdict} (AUC {result.auc}, "
        f"{counted(len(result.values), 'case')})."
        for name, result in labels.structures.items()
    ]


def _sentence(name: str, result: AttributeResult, enforced: str) -> str:
    by = f"; enforced: {enforced}" if enforced else ""
    return f"{name[:1].upper()}{name[1:]}: {result.verdict} (AUC {result.auc}, {len(result.values)} pairs{by})."


def attribute_table(attributes: Sequence[MeasuredAttribute]) -> Table:
    """A row for each attribute."""
    return Table(HEAD, [attribute_row(each) for each in attributes])


def attribute_row(each: MeasuredAttribute) -> list[str]:
    """The cells of one attribute, in the order of ``HEAD``."""
    asked, measured = ", ".join(each.attribute.levels), each.attribute.measured
    enforced = f" (enforced: {each.attribute.enforced})" if each.attribute.enforced else ""
    return [each.attribute.name, asked + enforced, measured, *_numbers(each.result)]


def _numbers(result: AttributeResult) -> list[str]:
    shuffled = result.shuffled
    return [
        str(result.auc),
        f"{shuffled.mean:.2f} ({shuffled.low:.2f} to {shuffled.high:.2f})",
        str(result.difference),
        str(result.order) if result.order else "",
        f"{result.corrected:.2g}",
        str(len(result.values)),
        result.verdict,
    ]


def label_section(labels: LabelFidelity) -> Section:
    """The table of the label fidelity, and pictures of the first cases."""
    rows = [
        [
            name,
            f"{result.values[:, -1].mean():.3g}",
            f"{result.values[:, 0].mean():.3g}",
            str(labels.real[name]),
            *_numbers(result),
        ]
        for name, result in labels.structures.items()
    ]
    head = ("structure", "own map", "another's", "real cases", *HEAD[3:])
    caption = "The image, the same with its own map outlined, and with what a segmenter found."
    pictures = [Picture(png, caption) for png in labels.pictures]
    return Section("Label fidelity", (_LABELS, *labels.notes), (Table(head, rows, "Dice"),), pictures)


def _pair_section(each: MeasuredAttribute) -> Section:
    name, pairs = each.attribute.name, each.pairs
    missing = [
        f"{counted(count, 'draw')} {'was' if count == 1 else 'were'} {what}."
        for count, what in (
            (pairs.refused, "passed over, because the method had no place for them"),
            (pairs.unmeasured, "left out, because a case does not show the property"),
        )
        if count
    ]
    pictures = [Picture(png, caption) for png, caption in zip(pairs.pictures, _captions(each), strict=False)]
    return Section(f"Pairs: {name}", missing, pictures=pictures)


def _captions(each: MeasuredAttribute) -> Iterator[str]:
    for number, (of, values) in enumerate(zip(each.pairs.of, each.pairs.values, strict=True)):
        said = zip(each.attribute.levels, values, strict=True)
        found = ", ".join(f"{level}: {value:.3g}" for level, value in said)
        yield f"Pair {number + 1}{f', {of}' if of else ''}. {each.attribute.measured}: {found}."
