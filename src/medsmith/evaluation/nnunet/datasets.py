"""The cohorts of the experiment as nnU-Net's raw datasets, one per arm, and the test cases."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError
from medsmith.progress import Progress, advancing

_DESCRIPTION = "Cases of an experiment with nnU-Net, real and synthetic. Research data, not for diagnosis."


def common_ending(cohorts: Iterable[Cohort]) -> str:
    """The file ending of the datasets: ``.png`` for pictures, ``.nii.gz`` for all else.

    Raises:
        CohortError: some are pictures and some are not.
    """
    endings = sorted({cohort.file_ending for cohort in cohorts})
    if len(endings) > 1 and ".png" in endings:
        raise CohortError("nnunet", f"files end in {', '.join(endings)}", "pictures and volumes do not mix")
    return ".png" if endings == [".png"] else ".nii.gz"


def write_dataset(folder: Path, sources: Mapping[str, Cohort], ending: str, progress: Progress) -> Cohort:
    """Writes a cohort whose labels are 0, 1, 2, ...; one that an earlier call began is completed.

    Args:
        folder: of the cohort.
        sources: prefix of the ids -> cases.
        ending: of its files.
        progress: of the cases.
    """
    first = next(iter(sources.values()))
    names = sorted(first.label_names, key=first.label_names.__getitem__)
    written = Cohort.create(
        folder,
        channel_names=first.channel_names,
        label_names={name: value for value, name in enumerate(names)},
        file_ending=ending,
        description=_DESCRIPTION,
    )
    for prefix, cohort in sources.items():
        pending = [prefix + case_id for case_id in cohort.ids if prefix + case_id not in written]

        def renamed(case_id: str, cohort: Cohort = cohort, prefix: str = prefix) -> Case:
            return _renumbered(cohort.stored(case_id.removeprefix(prefix)), case_id, written.label_names)

        with progress.task(f"write {folder.name}", len(cohort), len(cohort) - len(pending)) as advance:
            written.write_all(pending, advancing(renamed, advance))
    written.finish()
    return written


def _renumbered(case: Case, case_id: str, label_names: Mapping[str, int]) -> Case:
    """The case with the dataset's labels; records of real cases stay behind."""
    values = np.array(sorted(case.label_names.values()))
    labels = np.searchsorted(values, case.require_labels()).astype(np.uint8)
    provenance = case.provenance if case.synthetic else None
    return replace(case, id=case_id, labels=labels, label_names=label_names, report=None, provenance=provenance)
