"""A cohort with a record of its inputs, so that an identical call continues it and any other is refused."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import ENDINGS_WRITTEN, check_id
from medsmith.cases.nnunet_folder import DATASET
from medsmith.errors import CohortError
from medsmith.formats.atomic import visible_names, write_json
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.preparation.provenance_fields import with_known_provenance
from medsmith.progress import Progress, advancing


def check_ids(ids: Iterable[str]) -> None:
    """Checks the ids of all cases to write before the first is written.

    Raises:
        CohortError: one is no portable file name.
    """
    for case_id in ids:
        check_id(case_id)


@contextmanager
def recorded(out: Path, name: str, record: Mapping[str, Any], layout: Layout) -> Iterator[Cohort]:
    """The cohort to write to: new, or started by a call with an identical record; locked meanwhile.

    Args:
        out: its folder.
        name: file name of the record in it.
        record: JSON.
        layout: channels, labels and ending.

    Raises:
        CohortError: the folder holds something else, was started with another record, or another process writes there.
    """
    with hold_output(out):
        yield _opened(out, name, record, layout)


def _opened(out: Path, name: str, record: Mapping[str, Any], layout: Layout) -> Cohort:
    wanted = json.loads(json.dumps(record))
    if (out / name).exists():
        earlier = read_json(out / name)
        other = sorted(key for key in wanted.keys() | earlier.keys() if wanted.get(key) != earlier.get(key))
        if other:
            found = f"was made of other files or with other options ({name} differs in {', '.join(other)})"
            raise CohortError(out, found, cure="choose a new folder")
    elif (out / DATASET).exists() and visible_names(out) != {DATASET}:  # alone it is that of a killed call
        raise CohortError(out, f"holds a cohort without {name}", cure="choose a new folder")
    cohort = Cohort.create(
        out, channel_names=layout.channel_names, label_names=layout.label_names, file_ending=layout.file_ending
    )
    write_json(out / name, wanted)
    return cohort


def pending_ids(out: Cohort, wanted: Iterable[tuple[str, CaseFiles]]) -> list[str]:
    """Ids of the cases that are not completely written yet.

    Args:
        out: the cohort to write to.
        wanted: ids in it, each with the files of the source.
    """

    def is_written(id: str, files: CaseFiles) -> bool:
        found = out.files(id) if id in out else CaseFiles((), None)
        return bool(found.channels) >= bool(files.channels) and bool(found.labels) >= bool(files.labels)

    return sorted(id for id, files in wanted if not is_written(id, files))


def write_subset(
    source: Cohort,
    ids: Sequence[str],
    out: Path,
    name: str,
    record: Mapping[str, Any],
    lost: list[str],
    progress: Progress,
) -> Cohort:
    """Writes some cases of a cohort as they are to a cohort of their own, or continues.

    Args:
        source: the cohort.
        ids: of the cases.
        out: folder of the new cohort.
        name: file name of the record in it.
        record: JSON.
        lost: gets what provenance of real cases is left out.
        progress: of the cases.

    Raises:
        CohortError: as ``recorded``.
    """
    ending = source.file_ending if source.file_ending in ENDINGS_WRITTEN else ".nii.gz"
    layout = Layout(source.channel_names, source.label_names, ending, {})
    with recorded(out, name, record, layout) as cohort:
        pending = pending_ids(cohort, ((case_id, source.files(case_id)) for case_id in ids))
        with progress.task(f"write {out.name}", len(ids), len(ids) - len(pending)) as advance:
            cohort.write_all(pending, advancing(with_known_provenance(source.stored, lost), advance))
        cohort.finish()
    return cohort
