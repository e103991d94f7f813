"""Merges cohorts into one; labels are matched by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_files import Layout
from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort, folder_of
from medsmith.cases.integrity import ENDINGS_WRITTEN
from medsmith.errors import CohortError, RequestError, counted
from medsmith.formats.folders import check_disjoint_folders, real_path
from medsmith.preparation.provenance_fields import lost_lines, with_known_provenance
from medsmith.preparation.recorded import check_ids, pending_ids, recorded
from medsmith.progress import NullProgress, Progress, advancing, silent

RECORD = "merge.json"
MAX_LABELS = 255


def merge(
    sources: Sequence[CohortLike],
    out: Path | str,
    *,
    report: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> Cohort:
    """Writes one cohort with the cases of several.

    Ids are prefixed with the name of the source folder. Labels of the same name become one label. A cohort of labels
    only can be merged with any other.

    Args:
        sources: cohorts, two or more.
        out: a new folder, or the one started by an identical call.
        report: receives one line per source.
        progress: of writing the cases of each.

    Raises:
        RequestError: fewer than two cohorts, two folders of one name, or two cases that would get one id.
        CohortError: channels, dimensions or number formats differ, or there are more than 255 labels.
    """
    progress, folders = progress or NullProgress(), [folder_of(source) for source in sources]
    check_disjoint_folders((*folders, Path(out)))
    if len(folders) < 2:
        raise RequestError("merge", f"{len(folders)} cohorts", "two or more are merged")
    if len({real_path(folder).name for folder in folders}) < len(folders):
        raise RequestError("merge", "two folders of one name", "names tell the cases apart", "rename one")
    cohorts = {real_path(folder).name: as_cohort(source) for folder, source in zip(folders, sources, strict=True)}
    _check_ids(cohorts)
    layout = _common_layout(cohorts)
    check_ids(f"{name}-{id}" for name, cohort in cohorts.items() for id in cohort.ids)
    record = {"sources": {name: cohort.content_hash() for name, cohort in cohorts.items()}}
    with recorded(Path(out), RECORD, record, layout) as merged:
        for name, cohort in cohorts.items():
            pending, lost = pending_ids(merged, ((f"{name}-{id}", cohort.files(id)) for id in cohort.ids)), list[str]()
            stored = with_known_provenance(cohort.stored, lost)
            with progress.task(f"write {name}", len(cohort), len(cohort) - len(pending)) as advance:
                merged.write_all(pending, advancing(partial(_renamed, stored, f"{name}-", layout), advance))
            for line in (f"{name}: {counted(len(cohort), 'case')}{_kind(cohort)}", *lost_lines(lost)):
                report(line)
        merged.finish()
    return merged


def _check_ids(cohorts: Mapping[str, Cohort]) -> None:
    """Checks that no two cases get one id, as c of a-b and b-c of a would."""
    seen: dict[str, str] = {}
    for name, cohort in cohorts.items():
        for id in cohort.ids:
            other = seen.setdefault(f"{name}-{id}".casefold(), name)
            if other != name:
                found = f"a case of {other} and case {id} of {name} would both be {name}-{id}"
                raise RequestError("merge", found, "ids differ in more than case", "rename one of the folders")


def _kind(cohort: Cohort) -> str:
    if not cohort.ids_with_image:
        return " (labels alone)"
    return "" if cohort.ids_with_labels else " (images alone)"


def _common_layout(cohorts: Mapping[str, Cohort]) -> Layout:
    channels = {cohort.channel_names for cohort in cohorts.values() if cohort.channel_names} or {()}
    if len(channels) > 1:
        named = {name: cohort.channel_names for name, cohort in cohorts.items() if cohort.channel_names}
        found = "; ".join(f"{name} has {', '.join(names)}" for name, names in named.items())
        raise CohortError("merge", found, "channels must be the same")
    endings = {cohort.file_ending for cohort in cohorts.values()}
    if len(endings) > 1 and ".png" in endings:
        raise CohortError("merge", f"files end in {', '.join(sorted(endings))}", "pictures and volumes do not mix")
    names = dict.fromkeys(name for cohort in cohorts.values() for name in cohort.label_names if name != "background")
    if len(names) > MAX_LABELS:
        raise CohortError("merge", f"{len(names)} labels", f"{MAX_LABELS} at most")
    (chosen,) = channels
    ending = next((ending for ending in sorted(endings) if ending in ENDINGS_WRITTEN), ".nii.gz")
    return Layout(chosen, {"background": 0} | {name: value for value, name in enumerate(names, start=1)}, ending, {})


def _renamed(stored: Callable[[str], Case], prefix: str, layout: Layout, id: str) -> Case:
    """The case of a source that gets an id in the merged cohort."""
    return _remapped(stored(id.removeprefix(prefix)), id, layout)


def _remapped(case: Case, id: str, layout: Layout) -> Case:
    """The case with the merged cohort's labels and channels."""
    table = np.zeros(MAX_LABELS + 1, np.uint8)
    for name, value in case.label_names.items():
        table[value] = layout.label_names[name]
    labels = None if case.labels is None else table[case.labels]
    return replace(case, id=id, labels=labels, label_names=dict(layout.label_names), channel_names=layout.channel_names)
