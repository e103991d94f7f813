"""Cohorts as other libraries take them: MONAI's datalist, TorchIO's subjects, nnU-Net's folder name."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError, RequestError

if TYPE_CHECKING:
    from medsmith.cases.cohort import Cohort

_NNUNET_NAME = re.compile(r"\w+(?:-\w+)*", re.ASCII)
_WITH_ID = re.compile(r"Dataset(?P<id>\d{3})_.")
_LARGEST_ID = 999


def monai_datalist(cohort: "Cohort") -> list[dict[str, Any]]:
    """The files of every case as a list of ``load_decathlon_datalist`` has them.

    Args:
        cohort: with files that hold its labels as declared.

    Returns:
        For each case "image" (a path, or one per channel), "label" and "case_id", as far as the case has them.

    Raises:
        CohortError: the files hold other label values than the cohort, or channels or labels that must be joined.
    """
    rows = []
    for case_id in cohort.ids:
        images, label = _paths(cohort, case_id)
        row: dict[str, Any] = {"case_id": case_id}
        if images:
            row["image"] = str(images[0]) if len(images) == 1 else [str(path) for path in images]
        if label is not None:
            row["label"] = str(label)
        rows.append(row)
    return rows


def torchio_subjects(cohort: "Cohort") -> list[Any]:
    """A ``torchio.Subject`` of every case, with "image" and "label" as far as the case has them, and "case_id".

    Raises:
        RequestError: TorchIO is not installed.
        CohortError: as of ``monai_datalist``.
    """
    try:
        torchio = importlib.import_module("torchio")
    except ImportError:
        raise RequestError("torchio", "is not installed", cure="pip install torchio") from None
    subjects = []
    for row in monai_datalist(cohort):
        parts = {"image": torchio.ScalarImage, "label": torchio.LabelMap}
        images = {name: kind(row[name]) for name, kind in parts.items() if name in row}
        subjects.append(torchio.Subject(case_id=row["case_id"], **images))
    return subjects


def _paths(cohort: "Cohort", case_id: str) -> tuple[list[Path], Path | None]:
    """Absolute paths of the image's channels and of the label map."""
    files, layout = cohort.files(case_id), cohort.layout
    relabeled = any(value != label for value, label in layout.label_of.items()) or bool(layout.label_of_file)
    if relabeled or files.extra_labels or any(file.volume is not None for file in files.channels):
        found = f"case {case_id} is not stored as one file per channel and labels as declared"
        raise CohortError(
            cohort.root, found, "other libraries read the files", f"run medsmith prepare {cohort.root} OUT"
        )
    label = None if files.labels is None else files.labels.absolute()
    return [file.path.absolute() for file in files.channels], label


def nnunet_folder(out: Path, dataset_id: int) -> Path:
    """The folder that nnU-Net wants in place of another: ``Dataset501_Liver`` for ``Liver`` and 501.

    Args:
        out: the folder; its name becomes that of the dataset, its parent is ``nnUNet_raw``. A name with that id already
            stays as it is.
        dataset_id: 1 to 999; no other dataset in the parent has it.

    Raises:
        RequestError: the id or the name cannot be used, or another dataset has the id.
    """
    if not 1 <= dataset_id <= _LARGEST_ID:
        raise RequestError("--dataset-id", f"{dataset_id}", f"1 to {_LARGEST_ID}", "choose another")
    if not _NNUNET_NAME.fullmatch(out.name):
        raise RequestError("--dataset-id", f"'{out.name}'", "letters, digits, _ and - in a name", "choose another name")
    named = _WITH_ID.match(out.name)
    if named and int(named["id"]) != dataset_id:
        found = f"'{out.name}' has id {int(named['id'])}, and {dataset_id} is asked for"
        raise RequestError("--dataset-id", found, "one id each", "leave one of them out")
    folder = out if named else out.with_name(f"Dataset{dataset_id:03d}_{out.name}")
    others = sorted(other.name for other in _datasets(out.parent, dataset_id) if other != folder)
    if others:
        raise RequestError(
            "--dataset-id", f"{first_of(others)} has id {dataset_id}", "one dataset each", "choose another"
        )
    return folder


def _datasets(parent: Path, dataset_id: int) -> Iterator[Path]:
    return parent.glob(f"Dataset{dataset_id:03d}_*")
