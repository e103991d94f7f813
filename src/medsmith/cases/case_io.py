"""Reads and writes the files of a case."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from medsmith.cases.case import Case, lacks_image, lacks_labels
from medsmith.cases.case_files import CaseFiles, Layout
from medsmith.cases.integrity import check_same_grid, relabel
from medsmith.cases.nnunet_folder import PROVENANCE, REPORTS
from medsmith.errors import ContentError, counted
from medsmith.formats.atomic import remove, write_json
from medsmith.formats.files import (
    count_volumes,
    ending_of,
    read_grid,
    read_image,
    read_image_region,
    read_labels,
    read_labels_region,
    stem_of,
    write_image,
    write_labels,
)
from medsmith.formats.itk import SEGMENTS_ENDING
from medsmith.formats.json_file import read_json
from medsmith.formats.slicer import on_grid
from medsmith.formats.volume import ImageFile, LabelFile, ReadOptions, Region, check_only_volume
from medsmith.geometry import Geometry


def read_case(case_id: str, files: CaseFiles, layout: Layout, options: ReadOptions) -> tuple[Case, tuple[str, ...]]:
    """Reads a case, and one line per accepted irregularity (see ``Cohort.read``)."""
    images = [
        read_image(file.path, options if file.volume is None else replace(options, volume=file.volume))
        for file in files.channels
    ]
    maps = [read_labels(path, label_options(files, options)) for path in files.label_paths]
    paths = [*(file.path for file in files.channels), *files.label_paths]
    if images:
        maps = [_on_image(path, one, images[0].geometry) for path, one in zip(files.label_paths, maps, strict=True)]
    read: list[ImageFile | LabelFile] = [*images, *maps]
    for path, other in zip(paths, read, strict=True):
        check_same_grid(paths[0], read[0].geometry, path, other.geometry)
    case = Case(
        id=case_id,
        image=_stacked([image.values for image in images]) if images else None,
        labels=_merged(files.label_paths, [each.values for each in maps], layout) if maps else None,
        geometry=read[0].geometry,
        channel_names=layout.channel_names,
        label_names=layout.label_names,
        stored=np.result_type(*[image.stored for image in images]) if images else np.dtype(np.uint8),
    )
    notes = tuple(f"{path}: {note}" for path, each in zip(paths, read, strict=True) for note in each.notes)
    return case, notes


def _on_image(path: Path, labels: LabelFile, grid: Geometry) -> LabelFile:
    """A segmentation of 3D Slicer, which may be cropped, on the grid of its image; others as they are."""
    return on_grid(labels, grid, path) if ending_of(path) == SEGMENTS_ENDING else labels


def label_options(files: CaseFiles, options: ReadOptions) -> ReadOptions:
    """The options for a case's label maps: a volume is chosen of labels only where it is of images.

    A label map that has several volumes while the image has one holds a volume for each label.

    Raises:
        GeometryError: there is no image, and a label map has one volume where another is chosen.
    """
    if options.volume is None or not files.channels:
        for path in files.label_paths if options.volume else ():
            if count_volumes(path) == 1:
                check_only_volume(options.volume, path)
        return options
    several = any(count_volumes(file.path) > 1 for file in files.channels)
    return options if several else replace(options, volume=None)


def _stacked(channels: list[Float32[np.ndarray, "x y z"]]) -> Float32[np.ndarray, "c x y z"]:
    """One array that keeps the memory layout of its channels."""
    if len(channels) == 1:
        return channels[0][None]
    return np.stack([channel.T for channel in channels]).transpose(0, 3, 2, 1)


def _merged(
    paths: tuple[Path, ...], maps: list[UInt8[np.ndarray, "x y z"]], layout: Layout
) -> UInt8[np.ndarray, "x y z"]:
    """The labels of a case, merged from one or several files."""
    merged = _to_labels(maps[0], layout, paths[0])
    for path, values in zip(paths[1:], maps[1:], strict=True):
        labels = _to_labels(values, layout, path)
        clash = (merged > 0) & (labels > 0) & (merged != labels)
        if clash.any():
            found = f"{counted(int(clash.sum()), 'voxel')} with another label in {paths[0].name}"
            raise ContentError(path, found, "masks of one case agree", "correct the masks")
        merged = np.maximum(merged, labels)
    return merged


def _to_labels(values: UInt8[np.ndarray, "x y z"], layout: Layout, path: Path) -> UInt8[np.ndarray, "x y z"]:
    """Maps file values, or the file's name, to the labels that the layout declares."""
    if layout.label_of_file:
        return np.where(values > 0, np.uint8(layout.label_of_file[stem_of(path)]), np.uint8(0))
    label_of = layout.label_of or {value: value for value in layout.label_names.values()}
    return relabel(values, label_of, layout.label_names, path)


def read_case_grid(files: CaseFiles) -> Geometry:
    """The grid of a case, from one header."""
    return read_grid(files.paths[0])


def read_case_image(case_id: str, files: CaseFiles, region: Region) -> Float32[np.ndarray, "c x y z"]:
    """Part of a case's image (see ``Cohort.image_region``)."""
    if not files.channels:
        raise lacks_image(case_id)
    return np.stack([read_image_region(file.path, region, ReadOptions(volume=file.volume)) for file in files.channels])


def read_case_labels(case_id: str, files: CaseFiles, layout: Layout, region: Region) -> UInt8[np.ndarray, "x y z"]:
    """Part of a case's labels, merged from one or several files (see ``Cohort.labels_region``)."""
    if not files.label_paths:
        raise lacks_labels(case_id)
    parts = [_to_labels(read_labels_region(path, region), layout, path) for path in files.label_paths]
    return np.asarray(np.maximum.reduce(parts))


def read_records(root: Path, case_id: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Report and provenance of a case, None where missing.

    Raises:
        FileError: one cannot be read.
    """
    paths = [root / folder / f"{case_id}.json" for folder in (REPORTS, PROVENANCE)]
    report, provenance = (read_json(path) if path.exists() else None for path in paths)
    return report, provenance


def write_case_files(case: Case, files: CaseFiles, report: Path) -> tuple[Path, ...]:
    """Writes image, labels and report, each atomically; without a report, an earlier one is removed.

    Returns:
        The files that are written.
    """
    if case.image is not None:
        for file, channel in zip(files.channels, case.image, strict=True):
            write_image(file.path, channel, case.geometry, case.stored, synthetic=case.synthetic)
    if case.labels is not None and files.labels is not None:
        write_labels(files.labels, case.labels, case.geometry, synthetic=case.synthetic)
    if case.report is None:
        remove(report)
        return files.paths
    write_json(report, case.report)
    return (*files.paths, report)
