"""A case from its files and back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.case import Case, Geometry
from medsmith.errors import ContentError
from medsmith.formats.atomic import remove, write_json
from medsmith.formats.files import (
    read_grid,
    read_image,
    read_image_region,
    read_labels,
    read_labels_region,
    write_image,
    write_labels,
)
from medsmith.formats.json_file import read_json
from medsmith.formats.volume import ReadOptions, Region
from medsmith.integrity import check_same_grid, relabelled
from medsmith.layouts import PROVENANCE, REPORTS, CaseFiles, Layout


def read_case(case_id: str, files: CaseFiles, layout: Layout, options: ReadOptions) -> tuple[Case, tuple[str, ...]]:
    """A case from its files, and one line per oddity that was accepted (see ``Cohort.read``)."""
    images = [
        read_image(file.path, options if file.volume is None else replace(options, volume=file.volume))
        for file in files.channels
    ]
    first, geometry = files.channels[0].path, images[0].geometry
    for file, image in zip(files.channels, images, strict=True):
        check_same_grid(first, geometry, file.path, image.geometry)
    labels, label_notes = _read_labels(files, geometry, layout, options)
    case = Case(
        id=case_id,
        image=images[0].values[None] if len(images) == 1 else np.stack([image.values for image in images]),
        labels=labels,
        geometry=geometry,
        channel_names=layout.channel_names,
        label_names=layout.label_names,
        stored=np.result_type(*[image.stored for image in images]),
    )
    pairs = zip(files.channels, images, strict=True)
    notes = tuple(f"{file.path}: {note}" for file, image in pairs for note in image.notes)
    return case, notes + label_notes


def _read_labels(
    files: CaseFiles, geometry: Geometry, layout: Layout, options: ReadOptions
) -> tuple[UInt8[np.ndarray, "x y z"], tuple[str, ...]]:
    """The labels of a case, united where they lie in several files."""
    united, notes = _read_one(files.labels, files, geometry, layout, options)
    for path in files.more_labels:
        labels, more_notes = _read_one(path, files, geometry, layout, options)
        clash = (united > 0) & (labels > 0) & (united != labels)
        if clash.any():
            found = f"{int(clash.sum())} voxels carry another label in {files.labels.name}"
            raise ContentError(path, found, "masks of one case agree", "correct the masks")
        united = np.maximum(united, labels)
        notes += more_notes
    return united, notes


def _read_one(
    path: Path, files: CaseFiles, geometry: Geometry, layout: Layout, options: ReadOptions
) -> tuple[UInt8[np.ndarray, "x y z"], tuple[str, ...]]:
    read = read_labels(path, options)
    check_same_grid(files.channels[0].path, geometry, path, read.geometry)
    return _declared(read.values, layout, path), tuple(f"{path}: {note}" for note in read.notes)


def _declared(values: UInt8[np.ndarray, "x y z"], layout: Layout, path: Path) -> UInt8[np.ndarray, "x y z"]:
    """Label values as the layout declares them."""
    label_of = layout.label_of or {value: value for value in layout.label_names.values()}
    return relabelled(values, label_of, layout.label_names, path)


def read_case_grid(files: CaseFiles) -> Geometry:
    """The grid of a case, from one header."""
    return read_grid(files.channels[0].path)


def read_case_image(files: CaseFiles, region: Region) -> Float32[np.ndarray, "c x y z"]:
    """Part of a case's image (see ``Cohort.image_region``)."""
    return np.stack([read_image_region(file.path, region, ReadOptions(volume=file.volume)) for file in files.channels])


def read_case_labels(files: CaseFiles, layout: Layout, region: Region) -> UInt8[np.ndarray, "x y z"]:
    """Part of a case's labels, united where they lie in several files (see ``Cohort.labels_region``)."""
    parts = [_declared(read_labels_region(path, region), layout, path) for path in (files.labels, *files.more_labels)]
    return np.asarray(np.maximum.reduce(parts))


def read_records(root: Path, case_id: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Report and provenance of a case, each None where there is none.

    Raises:
        FileError: one cannot be read.
    """
    paths = [root / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)]
    report, provenance = (read_json(path) if path.exists() else None for path in paths)
    return report, provenance


def write_case_files(case: Case, files: CaseFiles, report: Path) -> None:
    """Writes image, labels and report, each whole or not at all; no report removes an earlier one."""
    for file, channel in zip(files.channels, case.image, strict=True):
        write_image(file.path, channel, case.geometry, case.stored, synthetic=case.synthetic)
    write_labels(files.labels, case.labels, case.geometry, synthetic=case.synthetic)
    if case.report is None:
        remove(report)
    else:
        write_json(report, case.report)
