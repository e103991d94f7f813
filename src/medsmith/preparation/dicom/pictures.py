"""A DICOM folder of single images that are not placed in the patient, each a 2-D case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.cases.case import Case
from medsmith.cases.case_files import CaseFiles, ChannelFile, Layout
from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError, ContentError, counted
from medsmith.formats import png
from medsmith.formats.atomic import sha256_of
from medsmith.formats.dicom.headers import Header
from medsmith.formats.dicom.marks import MARKED
from medsmith.formats.dicom.pictures import read_picture
from medsmith.formats.dicom.series import Series
from medsmith.formats.volume import ReadOptions
from medsmith.preparation.dicom.channels import channel_of
from medsmith.preparation.dicom.choice import fits
from medsmith.preparation.dicom.studies import Study
from medsmith.preparation.options import UNPAIRED, PrepareOptions
from medsmith.preparation.source import Source


@final
@dataclass(frozen=True)
class _PictureCases:
    """Reads the cases.

    Attributes:
        headers: case id -> its image.
    """

    headers: Mapping[str, Header]

    def read(
        self,
        case_id: str,
        _files: CaseFiles,
        layout: Layout,
        options: ReadOptions,
    ) -> tuple[Case, tuple[str, ...]]:
        """A case and its notes (see ``case_io.read_case``)."""
        header = self.headers[case_id]
        image = read_picture(header, options)
        if layout.file_ending == ".png" and image.stored not in png.STORED:
            found = f"values from {image.values.min():g} to {image.values.max():g} without pixel sizes"
            raise ContentError(header.place, found, "pictures hold whole numbers from 0 to 65535", "export it unscaled")
        case = Case(
            id=case_id,
            image=image.values[None],
            labels=None,
            geometry=image.geometry,
            channel_names=layout.channel_names,
            label_names=layout.label_names,
            stored=image.stored,
            provenance=MARKED if header.synthetic else None,
        )
        return case, tuple(f"{case_id}: {note}" for note in image.notes)

    def sums(self, case_id: str) -> dict[str, str]:
        """Part of a case -> hash of its file."""
        return {"image": sha256_of(self.headers[case_id].path)}


def pictures_of(studies: Sequence[Study], wanted: Sequence[str]) -> dict[str, Header]:
    """Case id -> single image, of the series that fit; empty where a series of placed slices fits.

    Args:
        studies: of a folder.
        wanted: series to take; () takes all.
    """
    fitting = {study.id: [one for one in study.series if not wanted or fits(one, wanted)] for study in studies}
    if any(series.is_image for found in fitting.values() for series in found):
        return {}
    return {
        f"{study}_image_{number:03d}": header
        for study, found in fitting.items()
        for number, header in enumerate((each for one in found if one.is_flat for each in one.headers), start=1)
    }


def picture_source(
    root: Path, studies: Sequence[Study], headers: Mapping[str, Header], options: PrepareOptions
) -> Source:
    """The cases of single images.

    They are written as NIfTI where all state their pixel sizes, else as PNG.

    Args:
        root: the folder.
        studies: in it.
        headers: case id -> image; at least one.
        options: declarations and choices.

    Raises:
        CohortError: labels are declared, or drawn on the images.
    """
    drawn = [series for study in studies for series in study.series if series.is_labels]
    _check_no_labels(root, headers, drawn, options)
    cases = {case_id: CaseFiles((ChannelFile(header.path),), None) for case_id, header in headers.items()}
    sized = sum(header.sized for header in headers.values())
    left = f", {sized} of {len(headers)} with pixel sizes, which PNG does not keep" if 0 < sized < len(headers) else ""
    reader = _PictureCases(headers)
    ending = ".nii.gz" if sized == len(headers) else ".png"
    return Source(
        root=root,
        cases=cases,
        layout=Layout(channel_of(root, headers.values(), options), {"background": 0}, ending, cases),
        rule=f"DICOM, {counted(len(headers), 'single image')}{left}",
        channels_known=True,
        label_reason="no label maps",
        left_out=tuple(series.name for series in drawn),
        channel_reason="" if options.channel_names else "by the modality",
        reader=reader.read,
        summed=reader.sums,
    )


def _check_no_labels(
    root: Path, headers: Mapping[str, Header], drawn: Sequence[Series], options: PrepareOptions
) -> None:
    declared = [*options.label_names, *options.segment_names]
    if declared:
        found = f"label {first_of(declared)} for {counted(len(headers), 'single image')}"
        cure = "leave --label out, or export images and label maps as PNG"
        raise CohortError(root, found, "2-D DICOM images come without labels", cure)
    if drawn and UNPAIRED not in options.leave_out:
        found = f"{first_of(series.name for series in drawn)} beside {counted(len(headers), 'single image')}"
        cure = "pass --leave-out unpaired, or export images and label maps as PNG"
        raise CohortError(root, found, "2-D DICOM images come without labels", cure)
