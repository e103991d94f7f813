"""The HTML page of the privacy check."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from medsmith.cases.cohort import Cohort
from medsmith.errors import counted
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.figures import histogram_with_limit
from medsmith.evaluation.pages.page import Page, Picture, Section, Table
from medsmith.evaluation.pages.sheets import Tile, contact_sheet, plane_tiles
from medsmith.evaluation.privacy.answer import private
from medsmith.evaluation.privacy.chance import chance_sentence, exact_sentence
from medsmith.evaluation.privacy.embedding import Nearness
from medsmith.evaluation.privacy.membership import Membership
from medsmith.evaluation.privacy.pair_pictures import ImageOf, gray, pair_sheet
from medsmith.evaluation.privacy.regions import lesion_region, view_of
from medsmith.evaluation.privacy.result import ImageCopies, MapCopies, Privacy
from medsmith.evaluation.privacy.threshold import Threshold

PROVES = (
    "What this does not prove: a cohort without flagged cases may still give patients away. Parts of an image, "
    "combinations of several patients, rotations by other than quarter turns, larger zooms and deformations are not "
    "searched; no attack with access to the generator is tried; and these numbers are no differential privacy. Treat "
    "cases made from a patient's scan, such as inserted lesions, as data of that patient."
)
_LESIONS = (
    "Only the largest lesion of each case is compared, cut out by its labels: around it, an inpainted case has the "
    "background of a patient by design, which is no finding here."
)


def privacy_page(found: Privacy, cohorts: Mapping[str, Cohort], values: Mapping[str, Collection[int]]) -> Page:
    """The report.

    Args:
        found: the numbers.
        cohorts: "synthetic" and "training", from which the most similar pairs are shown.
        values: the labels of their lesions.
    """

    def whole(kind: str, case_id: str) -> tuple[Float32[np.ndarray, "x y z"], bool]:
        view = view_of(cohorts[kind][case_id])
        return view.image, view.oriented

    def lesion(kind: str, case_id: str) -> tuple[Float32[np.ndarray, "x y z"], bool]:
        case = cohorts[kind][case_id]
        region = lesion_region(case, values[kind])
        assert region is not None, "only regions of sufficient size are compared"
        return gray(region), case.geometry.spacing_known

    sections = [
        *([_image_section("Copies of whole images", found.images, whole, ())] if found.images else []),
        *([_image_section("Copies of lesion regions", found.lesions, lesion, (_LESIONS,))] if found.lesions else []),
        *([_map_section(found.labels, cohorts)] if found.labels else []),
        *(_nearness_section(name, nearness) for name, nearness in found.nearness.items()),
        Section("Methods and limits", (*_methods(), PROVES, *found.notes, *found.left_out)),
    ]
    made = counted(len(cohorts["synthetic"]), "synthetic case")
    give = "gives" if len(cohorts["synthetic"]) == 1 else "give"
    title = f"What {made} {give} away of {len(cohorts['training'])} training cases"
    return Page(title, summary_lines(found), sections, found.facts)


def summary_lines(found: Privacy) -> list[str]:
    """The answer, then the main results, one sentence each."""
    lines = [private(found), *found.notes]
    for name, images in (("whole images", found.images), ("lesion regions", found.lesions)):
        if images:
            copies = images.found
            shares = copies.flagged, copies.copied
            lines += [exact_sentence(name, images.exact)] if images.exact else []
            lines.append(_copies_sentence(name, shares, copies.threshold, held_out_given=copies.held_out_given))
    if found.labels:
        copied = found.labels.found
        shares = copied.flagged, copied.copied
        lines.append(_copies_sentence("label maps", shares, copied.threshold, held_out_given=copied.held_out_given))
    inferred = found.membership
    lines += [_membership_sentence(what, each, len(inferred)) for what, each in inferred.items()]
    return [*lines, *found.left_out]


def _copies_sentence(
    what: str, shares: tuple[Estimate, Estimate], threshold: Threshold, *, held_out_given: bool
) -> str:
    """The sentence on one kind of copies.

    Args:
        what: is compared.
        shares: of synthetic cases above the threshold, and of training cases that are copied.
        threshold: for copies.
        held_out_given: whether it rests on held-out cases.
    """
    flagged, copied = shares
    than = f"than the threshold of {threshold.limit.value:.3f} ({threshold.origin('real cases that are no copies')})"
    return (
        f"Copies, {what}: {_count(flagged)} synthetic cases are more similar to a training case {than}; they copy "
        f"{_count(copied)} training cases. "
        f"{chance_sentence(flagged, threshold, 'held-out' if held_out_given else 'training')}"
    )


def _count(share: Estimate) -> str:
    return f"{round(share.value * share.n)} of {share.n} ({100 * share.low:.1f} to {100 * share.high:.1f} %)"


def _membership_sentence(what: str, found: Membership, count: int) -> str:
    told = "training cases are told from held-out ones" if found.leaks else "training cases are not told from others"
    of_patients = " of {} and {} patients".format(*found.patients) if found.patients else ""
    by_holm = f", by Holm over {count} such tests {found.corrected:.2g}" if count > 1 else ""
    return (
        f"Membership inference by {what}: {told} (p = {found.p_value:.2g}{by_holm}; AUC {found.auc}, advantage "
        f"{found.advantage}, of which chance reaches {found.chance:.3g}; {found.members} training and {found.others} "
        f"held-out cases{of_patients})."
    )


def _image_section(title: str, images: ImageCopies, image_of: ImageOf, notes: tuple[str, ...]) -> Section:
    copies = images.found
    pairs = [
        (images.synthetic[row], images.training[copies.matches[row].index], copies.matches[row]) for row in copies.worst
    ]
    return Section(
        title,
        notes,
        tables=(_table(copies.flagged, copies.copied, copies.threshold),),
        pictures=(
            Picture(
                histogram_with_limit(copies.similarity, copies.limit, "similarity to nearest training case"),
                "Similarity of each synthetic case to its nearest training case.",
            ),
            Picture(
                pair_sheet(pairs, image_of),
                "The most similar pairs: synthetic case (with its similarity), the same moved onto the training case "
                "and fitted to its gray values, the training case, and the difference of the two (gray: none).",
            ),
        ),
    )


def _map_section(labels: MapCopies, cohorts: Mapping[str, Cohort]) -> Section:
    copies = labels.found
    tiles: list[Tile] = []
    for row in copies.worst:
        pair = ("synthetic", labels.synthetic[row]), ("training", labels.training[int(copies.index[row])])
        for kind, case_id in pair:
            tiles.append(_map_tile(cohorts[kind], case_id, f"{copies.dice[row]:.3f} " if kind == "synthetic" else ""))
    rows = [tiles[start : start + 6] for start in range(0, len(tiles), 6)]
    return Section(
        "Copies of label maps",
        ("The largest Dice over shifts and flips. Simple shapes, such as ovals, resemble each other by chance.",),
        tables=(_table(copies.flagged, copies.copied, copies.threshold),),
        pictures=(
            Picture(
                histogram_with_limit(copies.dice, copies.threshold.limit.value, "Dice with nearest training map"),
                "Dice of each synthetic label map with its nearest training map.",
            ),
            Picture(contact_sheet(rows), "The most similar pairs: synthetic map (with its Dice), then training map."),
        ),
    )


def _map_tile(cohort: Cohort, case_id: str, before: str) -> Tile:
    return replace(plane_tiles(view_of(cohort[case_id]))[-1], title=before + case_id)


def _table(flagged: Estimate, copied: Estimate, threshold: Threshold) -> Table:
    limit = threshold.limit
    rows = [
        ["threshold", f"{limit.value:.3f}", f"{limit.low:.3f} to {limit.high:.3f}", str(limit.n), limit.interval],
        *(
            [name, f"{100 * of.value:.1f} %", f"{100 * of.low:.1f} to {100 * of.high:.1f} %", str(of.n), of.interval]
            for name, of in (
                ("synthetic cases that are copies", flagged),
                ("training cases that are copied", copied),
                ("false alarms among real cases, each left out in turn", threshold.false_alarms),
                ("near-duplicates among these, not counted", threshold.near_duplicates),
            )
            if of is not None
        ),
    ]
    return Table(("", "value", "95 % interval", "n", "method"), rows)


def _nearness_section(name: str, nearness: Nearness) -> Section:
    shares = (
        ("authentic synthetic cases", nearness.authentic),
        ("authentic held-out real cases", nearness.authentic_held_out),
        ("synthetic cases below the distance ratio", nearness.below_ratio),
    )
    rows = [[of, str(share), str(share.n), share.interval] for of, share in shares if share]
    if nearness.membership:
        for what, estimate in (("AUC", nearness.membership.auc), ("advantage", nearness.membership.advantage)):
            rows.append([f"membership: {what}", str(estimate), str(estimate.n), estimate.interval])
        rows.append(["membership: advantage by chance", f"{nearness.membership.chance:.3g}", "", "95 % of divisions"])
    limit = "" if nearness.ratio_limit is None else f" The limit of the distance ratio is {nearness.ratio_limit:.3f}."
    return Section(
        f"Nearness: {name}",
        (
            "Authentic: farther from the nearest training case than that is from its own nearest other one. Distance "
            "ratio: distance to the nearest over that to the second nearest training case; 1 % of held-out real cases "
            f"are below the limit.{limit} A copy of a case that is twice in the training cohort passes both.",
        ),
        (Table(("", "value (95 % interval)", "n", "interval"), rows),),
    )


def _methods() -> Iterator[str]:
    yield (
        "Similarity: largest normalized cross-correlation of band-passed images over shifts of up to an eighth of the "
        "edge, flips, quarter turns (slices), zooms of 0.84 to 1.16 and inverted contrast; a search over thumbnails, "
        "then a comparison of the eight best candidates at twice the resolution."
    )
    yield (
        "Threshold: the 99th percentile of the similarity of real cases that the generator did not learn from to their "
        "nearest training case; near-duplicates between the two are left out and counted. Membership: training cases "
        "against held-out ones, by their nearness to the most similar synthetic case."
    )
