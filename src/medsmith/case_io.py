"""A case from its files and back."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from medsmith.case import Case
from medsmith.formats.atomic import write_json
from medsmith.formats.files import read_image, read_labels, write_image, write_labels
from medsmith.formats.volume import ReadOptions
from medsmith.integrity import check_same_grid, relabelled
from medsmith.layouts import CaseFiles, Layout


def read_case(case_id: str, files: CaseFiles, layout: Layout, options: ReadOptions) -> tuple[Case, tuple[str, ...]]:
    """A case from its files, and one line per oddity that was accepted (see ``Cohort.read``)."""
    images = [
        read_image(file.path, options if file.volume is None else replace(options, volume=file.volume))
        for file in files.channels
    ]
    labels = read_labels(files.labels, options)
    first, geometry = files.channels[0].path, images[0].geometry
    for file, image in zip(files.channels, images, strict=True):
        check_same_grid(first, geometry, file.path, image.geometry)
    check_same_grid(first, geometry, files.labels, labels.geometry)
    label_of = layout.label_of or {value: value for value in layout.label_names.values()}
    case = Case(
        id=case_id,
        image=np.stack([image.values for image in images]),
        labels=relabelled(labels.values, label_of, layout.label_names, files.labels),
        geometry=geometry,
        channel_names=layout.channel_names,
        label_names=layout.label_names,
        stored=np.result_type(*[image.stored for image in images]),
    )
    notes = [(file.path, note) for file, image in zip(files.channels, images, strict=True) for note in image.notes]
    notes += [(files.labels, note) for note in labels.notes]
    return case, tuple(f"{path}: {note}" for path, note in notes)


def write_case_files(case: Case, files: CaseFiles, report: Path) -> None:
    """Writes image, labels and report, each whole or not at all; no report removes an earlier one."""
    for file, channel in zip(files.channels, case.image, strict=True):
        write_image(file.path, channel, case.geometry, case.stored, synthetic=case.synthetic)
    write_labels(files.labels, case.labels, case.geometry, synthetic=case.synthetic)
    if case.report is None:
        report.unlink(missing_ok=True)
    else:
        write_json(report, case.report)
