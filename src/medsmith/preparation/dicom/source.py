"""A DICOM folder as a source of ``medsmith prepare``."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.case_files import CaseFiles, ChannelFile, Layout
from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError, ContentError, counted
from medsmith.formats.atomic import sha256_of
from medsmith.formats.dicom.folder import DicomFolder
from medsmith.formats.dicom.labels import read_labels
from medsmith.formats.dicom.marks import MARKED
from medsmith.formats.dicom.series import Series
from medsmith.formats.dicom.volume import read_volume
from medsmith.formats.packages import require_dicom
from medsmith.formats.volume import LabelFile, ReadOptions
from medsmith.geometry import Geometry
from medsmith.preparation.dicom.channels import channel_of
from medsmith.preparation.dicom.choice import Chosen, check_named, choose_series, names_images_alone
from medsmith.preparation.dicom.pictures import picture_source, pictures_of
from medsmith.preparation.dicom.segments import Drawn, map_segments
from medsmith.preparation.dicom.studies import Study, read_studies
from medsmith.preparation.options import UNPAIRED, PrepareOptions
from medsmith.preparation.source import Source
from medsmith.progress import Progress


@final
@dataclass(frozen=True)
class _DicomCases:
    """Reads the cases of a DICOM folder.

    Attributes:
        chosen: case id -> its series.
        drawn: case id -> its segments; () of a case without labels.
        fraction: threshold for fractional segments.
    """

    chosen: Mapping[str, Chosen]
    drawn: Mapping[str, Drawn]
    fraction: float

    def read(
        self, case_id: str, files: CaseFiles, layout: Layout, options: ReadOptions
    ) -> tuple[Case, tuple[str, ...]]:
        """A case and its notes (see ``case_io.read_case``)."""
        image = read_volume(self.chosen[case_id].image, options)
        drawn = [series for series, _ in self.drawn[case_id] if files.labels and series.synthetic]
        maps = [self._map(series, image.geometry, label_of) for series, label_of in self.drawn[case_id]]
        case = Case(
            id=case_id,
            image=image.values[None],
            labels=_merged(maps, case_id) if files.labels else None,
            geometry=image.geometry,
            channel_names=layout.channel_names,
            label_names=layout.label_names,
            stored=image.stored,
            provenance=MARKED if drawn or self.chosen[case_id].image.synthetic else None,
        )
        notes = [*image.notes, *(note for one in maps for note in one.notes)]
        notes += [f"{series.name} is marked as synthetic, and so is the case" for series in drawn]
        return case, tuple(f"{case_id}: {note}" for note in notes)

    def _map(self, series: Series, grid: Geometry, label_of: Mapping[int, int]) -> LabelFile:
        return read_labels(series, grid, label_of, self.fraction)

    def sums(self, case_id: str) -> dict[str, str]:
        """Part of a case -> hash of its files, and of the segments that are taken; paths are not recorded."""
        parts = {"image": _hash_of(self.chosen[case_id].image.paths)}
        for place, (series, label_of) in enumerate(self.drawn[case_id], start=1):
            taken = ", ".join(f"{number} = {label}" for number, label in label_of.items())
            parts[f"labels {place}"] = f"{_hash_of(series.paths)}, segments {taken}"
        return parts


def find_dicom_source(root: Path, found: DicomFolder, options: PrepareOptions, progress: Progress) -> Source:
    """The cases of a DICOM folder, one for each study, or for each single image where no slices are placed.

    Args:
        root: the folder.
        found: its files.
        options: declarations and choices.
        progress: of reading headers.

    Raises:
        FileError: the extra is not installed, or a file is damaged and not to be left out.
        CohortError: no one series fits a study, or segments cannot be mapped.
        RequestError: an option fits nothing.
    """
    require_dicom(root)
    studies, skipped = read_studies(root, found, options, progress)
    check_named(root, studies, options.series)
    if pictures := pictures_of(studies, options.series):
        return replace(picture_source(root, studies, pictures, options), skipped=skipped)
    chosen, without_image, lost = choose_series(root, studies, options.series)
    if lost and UNPAIRED not in options.leave_out:
        said = f"{first_of(lost)} refers to a series that is not in the folder"
        raise CohortError(root, said, "labels have their image", "add it, or pass --leave-out unpaired")
    declared: dict[str, int | str] = {**options.label_names, **options.segment_names}
    if not declared and names_images_alone(studies, options.series):
        chosen = {case_id: replace(case, drawn=()) for case_id, case in chosen.items()}
    drawn, label_names, reason = map_segments(root, chosen, declared)
    chosen, unlabeled = _select(root, chosen, drawn, options)
    cases = {case_id: _files(case.image, drawn[case_id]) for case_id, case in chosen.items()}
    channels = channel_of(root, (case.image.first for case in chosen.values()), options)
    reader = _DicomCases(chosen, drawn, options.fraction)
    keeps = UNPAIRED in options.keep
    return Source(
        root=root,
        cases=cases,
        layout=Layout(channels, label_names, ".nii.gz", cases),
        rule=_rule(chosen, drawn),
        channels_known=True,
        label_reason=reason,
        left_out=(*without_image, *lost, *(() if keeps else unlabeled)),
        kept=unlabeled if keeps else (),
        skipped=skipped,
        unused=_unused(studies, chosen, drawn, lost),
        channel_reason="" if options.channel_names else "by the modality",
        reader=reader.read,
        summed=reader.sums,
    )


def _select(
    root: Path, chosen: Mapping[str, Chosen], drawn: Mapping[str, Drawn], options: PrepareOptions
) -> tuple[dict[str, Chosen], tuple[str, ...]]:
    """The cases to take, and those without labels where others have some."""
    unlabeled = tuple(case_id for case_id in chosen if not drawn[case_id])
    if not unlabeled or len(unlabeled) == len(chosen) or UNPAIRED in options.keep:
        return dict(chosen), unlabeled if len(unlabeled) < len(chosen) else ()
    if UNPAIRED not in options.leave_out:
        found = f"{len(unlabeled)} studies without labels: {first_of(unlabeled)}"
        cure = "add them, or pass --leave-out unpaired or --keep unpaired"
        raise CohortError(root, found, "each image has labels", cure)
    return {case_id: case for case_id, case in chosen.items() if case_id not in unlabeled}, unlabeled


def _unused(
    studies: Sequence[Study], chosen: Mapping[str, Chosen], drawn: Mapping[str, Drawn], lost: Sequence[str]
) -> tuple[str, ...]:
    """Names of the series in the studies of the cases that are neither image nor labels."""
    taken = {case.image.first.series for case in chosen.values()}
    taken |= {series.first.series for rows in drawn.values() for series, _ in rows}
    others = [one for study in studies if study.id in chosen for one in study.series if one.first.series not in taken]
    return tuple(one.name for one in others if one.name not in lost)


def _files(image: Series, drawn: Drawn) -> CaseFiles:
    paths = [series.paths[0] for series, _ in drawn]
    return CaseFiles((ChannelFile(image.paths[0]),), paths[0] if paths else None, tuple(paths[1:]))


def _rule(chosen: Mapping[str, Chosen], drawn: Mapping[str, Drawn]) -> str:
    """The series of the first case."""
    case_id = next(iter(chosen))
    names = [chosen[case_id].image.name, *(series.name for series, _ in drawn[case_id])]
    return f"DICOM, one for each study: {' + '.join(names)}"


def _merged(maps: Sequence[LabelFile], case_id: str) -> np.ndarray:
    merged = maps[0].values
    for one in maps[1:]:
        clash = (merged > 0) & (one.values > 0) & (merged != one.values)
        if clash.any():
            found = f"two label objects share {counted(int(clash.sum()), 'voxel')}"
            raise ContentError(case_id, found, "a voxel has one label", "choose segments with --label NAME=SEGMENT")
        merged = np.maximum(merged, one.values)
    return merged


def _hash_of(paths: Sequence[Path]) -> str:
    """Hash of the contents of some files, whatever they are called."""
    return hashlib.sha256("".join(sorted(sha256_of(path) for path in paths)).encode()).hexdigest()
