"""Searches a synthetic cohort for what it gives away of the training cohort, and writes a self-contained report."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from itertools import chain
from pathlib import Path

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.data.copies import Searchable
from medsmith.errors import RequestError, similar
from medsmith.evaluation.fidelity.computing import computed_line
from medsmith.evaluation.fidelity.extractors import Extractor
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.kept_folder import folder_key
from medsmith.evaluation.origin import made_from_notes, origin_notes
from medsmith.evaluation.pages.earlier_report import check_same_report, cohort_line
from medsmith.evaluation.pages.page import Page, check_results_folder, write_page
from medsmith.evaluation.privacy.batches import Keep, KeptParts, find_in_batches
from medsmith.evaluation.privacy.embedding import measure_nearness
from medsmith.evaluation.privacy.inputs import MIN_TRAINING, check_cohorts, check_patients, owners_of
from medsmith.evaluation.privacy.label_copies import find_label_copies
from medsmith.evaluation.privacy.membership import LEAST, Membership, infer_membership, tested
from medsmith.evaluation.privacy.nearest_neighbors import count_searches, find_nearest_neighbors
from medsmith.evaluation.privacy.page import privacy_page
from medsmith.evaluation.privacy.regions import Prepared, prepare_cohort
from medsmith.evaluation.privacy.result import ImageCopies, MapCopies, Privacy
from medsmith.evaluation.privacy.threshold import uncalibrated_notes
from medsmith.evaluation.roles import role_notes
from medsmith.formats.atomic import remove_temporary_files, remove_temporary_files_below, write_json
from medsmith.formats.lock import hold_output
from medsmith.progress import Advance, NullProgress, Progress
from medsmith.reports.organs import is_lesion

RECORD, PAGE, PARTS = "privacy.json", "privacy.html", "parts"
_HELD_OUT, _PATIENTS = "held-out cohort", "patients (--group)"
_COMMON_LABEL = "name one that all have"
_VERSIONS = ("medsmith", "numpy", "scipy", "scikit-image")
_Cohorts = tuple[Prepared, Prepared, Prepared | None]


def measure_privacy(
    synthetic: CohortLike,
    training: CohortLike,
    out: Path | str,
    *,
    held_out: CohortLike | None = None,
    label: str | None = None,
    group: str | None = None,
    extractors: Sequence[Extractor] | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Privacy:
    """Search for copies of training cases and measure membership inference; writes privacy.json and privacy.html.

    The result of each batch is kept in ``out``/parts; the same call resumes an interrupted one.

    Args:
        synthetic: the cases to search, of any origin.
        training: training cohort of their generator.
        out: folder of the report; created if missing.
        held_out: real cases that the generator was not trained on; without them, the thresholds are those between
            training cases, and membership is not measured.
        label: of the lesions; by default those whose names are of lesions, or else all labels but the background.
        group: regular expression that finds the patient in the ids of training and held-out cases, whom the test of
            membership then exchanges as a whole; by default each case is of another patient.
        extractors: of features; by default the radiomic vector.
        facts: additional lines of the report; without them equal inputs give equal bytes.
        progress: display of the progress.

    Raises:
        CohortError: too few cases, slices against volumes, swapped cohorts, held-out cases that are the synthetic or
            training ones, a patient with both, a report inside a cohort, a folder with the report of other inputs, or
            another process writes there.
        RequestError: no such label, or an expression for patients that does not fit.
        FileError: a case cannot be read, the report cannot be written, or another file is in its place.
    """
    return privacy_and_page(
        synthetic,
        training,
        out,
        held_out=held_out,
        label=label,
        group=group,
        extractors=extractors,
        facts=facts,
        progress=progress,
    )[0]


def privacy_and_page(
    synthetic: CohortLike,
    training: CohortLike,
    out: Path | str,
    *,
    held_out: CohortLike | None = None,
    label: str | None = None,
    group: str | None = None,
    extractors: Sequence[Extractor] | None = None,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> tuple[Privacy, Page]:
    """What ``measure_privacy`` finds and writes, with the page; arguments and errors are the same."""
    out, progress = Path(out), progress or NullProgress()
    named = {"synthetic": as_cohort(synthetic), "training": as_cohort(training)}
    if held_out is not None:
        named["held-out"] = as_cohort(held_out)
    check_results_folder(out, (RECORD, PAGE), [cohort.root for cohort in named.values()])
    check_cohorts(named)
    check_patients(named, group)
    labels = _lesion_labels(named, label)
    values = {name: _values_of(cohort, labels[name]) for name, cohort in named.items()}
    chosen: list[Extractor] = [Radiomics()] if extractors is None else list(extractors)
    lines = _facts(named, labels, chosen)
    asked = {_HELD_OUT: None, _PATIENTS: group, **_without(lines, "features", "versions")}
    check_same_report(out / RECORD, lambda: asked)
    stated = ({} if group is None else {_PATIENTS: group}) | dict(facts or {})
    with hold_output(out):
        remove_temporary_files(out)
        remove_temporary_files_below(out / PARTS)
        with progress.task("read cases", sum(map(len, named.values()))) as advance:
            prepared = {name: prepare_cohort(cohort, values[name], chosen, advance) for name, cohort in named.items()}
        keep = KeptParts(out / PARTS / folder_key(lines, named.values()))
        cohorts = prepared["synthetic"], prepared["training"], prepared.get("held-out")
        with progress.task("search for copies", _count(cohorts)) as advance:
            found = _measure(cohorts, keep, advance, lines | stated, group)
        found = replace(found, notes=_notes(found, named, prepared))
        write_json(out / RECORD, found.as_json())
        page = privacy_page(found, named, values)
        write_page(page, out / PAGE)
    return found, page


def _measure(cohorts: _Cohorts, keep: Keep, advance: Advance, facts: Mapping[str, str], group: str | None) -> Privacy:
    synthetic, training, held_out = cohorts
    left_out: list[str] = []
    whole = [each and (each.ids, each.images) for each in cohorts]
    parts = [each and (each.lesion_ids, each.lesions) for each in cohorts]
    images = _image_copies("images", whole, keep, advance, group)
    lesions = _image_copies("lesions", parts, keep, advance, group)
    if images is None:
        left_out.append(_missing("Images", "an image", len(synthetic.ids), len(training.ids)))
    if lesions is None:
        counts = len(synthetic.lesion_ids), len(training.lesion_ids)
        left_out.append(_missing("Lesion regions", "an image of a lesion of sufficient size", *counts))
    labels = None
    if len(synthetic.maps) and len(training.maps) >= MIN_TRAINING:
        others = held_out.maps if held_out is not None and len(held_out.maps) else None
        copies = find_label_copies(synthetic.maps, training.maps, others, keep, advance)
        labels = MapCopies(copies, synthetic.label_ids, training.label_ids)
    else:
        left_out.append(_missing("Label maps", "labels", len(synthetic.label_ids), len(training.label_ids)))
    owners = held_out and owners_of(training.ids, held_out.ids, group)
    nearness = {
        name: measure_nearness(
            synthetic.features[name],
            training.features[name],
            held_out and held_out.features.get(name),
            owners=owners,
        )
        for name in (training.features if images else ())
    }
    if held_out is None:
        left_out.append(
            "Membership inference was not measured and the thresholds are those between training cases: both need real "
            "cases that the generator was not trained on (--held-out)."
        )
    else:
        if images is not None:
            left_out += _untested("whole images and features", training.ids, held_out.ids, group)
        if lesions is not None:
            left_out += _untested("lesion regions", training.lesion_ids, held_out.lesion_ids, group)
    return Privacy(images, lesions, labels, nearness, facts, tuple(left_out))


def _notes(found: Privacy, named: Mapping[str, Cohort], prepared: Mapping[str, Prepared]) -> tuple[str, ...]:
    """What limits or explains the results."""
    held_out, synthetic = named.get("held-out"), named["synthetic"]
    roles = role_notes({name: cohort for name, cohort in named.items() if name != "synthetic"})
    if held_out is None:
        return (*roles, *made_from_notes(synthetic), *uncalibrated_notes(found.thresholds, "training"))
    images = prepared["held-out"].ids, prepared["held-out"].images.coarse
    origin = origin_notes("held-out", held_out, images, prepared["training"].images.coarse, synthetic)
    return (*roles, *origin, *uncalibrated_notes(found.thresholds, "held-out"))


def _image_copies(
    name: str,
    parts: Sequence[tuple[tuple[str, ...], Searchable] | None],
    keep: Keep,
    advance: Advance,
    group: str | None,
) -> ImageCopies | None:
    """Copies of one kind of region; None where a cohort has too few."""
    synthetic, training, held_out = parts
    if not (synthetic and training) or not len(synthetic[1]) or len(training[1]) < MIN_TRAINING:
        return None
    others = held_out[1] if held_out and len(held_out[1]) else None
    found = find_nearest_neighbors(synthetic[1], training[1], others, name=name, keep=keep, advance=advance)
    membership: Membership | None = None
    if held_out and others is not None:
        unseen = find_in_batches(f"{name}-unseen", synthetic[1], others, keep, advance)
        owners = owners_of(training[0], held_out[0], group)
        if min(tested(len(training[1]), len(others), owners)) >= LEAST:
            membership = infer_membership(found.reached, unseen.reached, owners=owners)
    return ImageCopies(found, synthetic[0], training[0], membership)


def _missing(what: str, part: str, synthetic: int, training: int) -> str:
    return (
        f"{what} were not compared: {synthetic} synthetic and {training} training cases have {part} (at least 1 and "
        f"{MIN_TRAINING})."
    )


def _untested(what: str, training: Sequence[str], held_out: Sequence[str], group: str | None) -> list[str]:
    """A sentence where membership cannot be inferred, for want of cases or patients."""
    n, m = tested(len(training), len(held_out), owners_of(tuple(training), tuple(held_out), group))
    if min(n, m) >= LEAST:
        return []
    found = f"{n} training and {m} held-out {'cases' if group is None else 'patients'}"
    return [f"Membership inference by {what} was not measured: {found} (at least {LEAST} of either kind)."]


def _count(cohorts: _Cohorts) -> int:
    """Queries of all searches."""
    synthetic, training, held_out = cohorts
    total = 0
    for name in ("images", "lesions", "maps"):
        m, n = len(getattr(synthetic, name)), len(getattr(training, name))
        h = len(getattr(held_out, name)) if held_out else 0
        if m and n >= MIN_TRAINING:
            total += count_searches(m, n, h) + (m if h and name != "maps" else 0)
    return total


def _lesion_labels(named: Mapping[str, Cohort], label: str | None) -> dict[str, tuple[str, ...]]:
    """Of each cohort the label that was asked for, or those whose names are of lesions; () for all labels.

    Names may differ: synthetic lesions can have a label of their own.
    """
    if label is None:
        found = {what: tuple(filter(is_lesion, cohort.label_names)) for what, cohort in named.items()}
        return found if all(found.values()) else dict.fromkeys(named, ())
    for cohort in named.values():
        known = [name for name, value in cohort.label_names.items() if value > 0]
        if label not in known:
            limit = f"{cohort.root} has {', '.join(known) or 'none'}"
            raise RequestError("label", f"no {label!r} in every cohort", limit, similar(label, known, _COMMON_LABEL))
    return dict.fromkeys(named, (label,))


def _values_of(cohort: Cohort, labels: Sequence[str]) -> set[int]:
    chosen = labels or cohort.label_names
    return {value for name, value in cohort.label_names.items() if value > 0 and name in chosen}


def _facts(
    named: Mapping[str, Cohort], labels: Mapping[str, Sequence[str]], extractors: Sequence[Extractor]
) -> dict[str, str]:
    lines = {f"{name} cohort": cohort_line(cohort) for name, cohort in named.items()}
    lines |= {"lesion label": ", ".join(sorted({*chain(*labels.values())})) or "all"} | {
        each.name: each.identity for each in extractors
    }
    if extractors:
        lines["features"] = computed_line(extractors)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    return lines | {"versions": f"Python {platform.python_version()}, {versions}"}


def _without(facts: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in facts.items() if name not in names}
