"""A case as DICOM: an image series per channel, a segmentation, and a structure set if asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from pydicom.dataset import Dataset

from medsmith.cases.case import Case
from medsmith.errors import RequestError
from medsmith.exporting.dataset import Context, invented_patient, kept_patient, write_dicom
from medsmith.exporting.file_names import channel_part
from medsmith.exporting.identity import identity_of
from medsmith.exporting.image_series import Modality, image_series, modality_of
from medsmith.exporting.planes import planes_of
from medsmith.exporting.segmentation import segmentation
from medsmith.exporting.source import SourceSeries, is_uid, source_of
from medsmith.exporting.structures import structure_set
from medsmith.formats.dicom.marks import MARKED
from medsmith.formats.packages import quiet


@final
@dataclass(frozen=True, eq=False)
class DicomWriter:
    """Writes cases to folders.

    Attributes:
        date: of the export, YYYYMMDD.
        modality: of every channel; None goes by their names.
        structures: whether a structure set is written.
        keep_identity: whether patient and study are those of the source series.
        series: that the cases may be made from.
    """

    date: str
    modality: Modality | None
    structures: bool
    keep_identity: bool
    series: Sequence[SourceSeries] = ()

    @quiet()
    def __call__(self, case: Case, folder: Path) -> Mapping[str, Any]:
        """Writes ``NN-CHANNEL/0001.dcm`` and on, ``segmentation.dcm``, ``structures.dcm``; returns what is remembered.

        Raises:
            RequestError: the modality is unknown, the identity is wanted and no series fits, or it may be burned into
                the images and is not wanted.
            GeometryError: the grid has no planes in the patient.
            FileError: a file cannot be written.
        """
        planes = planes_of(case.geometry, case.id)
        sources = [source_of(self.series, planes, planes.arranged(gray)) for gray in case.require_image()]
        if not case.synthetic and any(source is not None and source.synthetic for source in sources):
            case = replace(case, provenance={**(case.provenance or {}), **MARKED})
        context, error = self._context(case, sources), 0.0
        first: list[Dataset] = []
        for channel, (name, source) in enumerate(zip(case.channel_names, sources, strict=True)):
            images, rounding = image_series(case, channel, planes, modality_of(name, self.modality), context)
            for number, image in enumerate(images):
                if source and source.referable and case.synthetic:
                    image.SourceImageSequence = source.references(number)
                write_dicom(folder / channel_part(channel, name) / f"{number + 1:04d}.dcm", image)
            first = first or images
            error = max(error, rounding)
        if case.labels is not None and len(case.label_names) > 1:
            write_dicom(folder / "segmentation.dcm", segmentation(case, first, planes, context))
            if self.structures:
                write_dicom(folder / "structures.dcm", structure_set(case, first, planes, context))
        found = any(source is not None and source.referable for source in sources)
        return {"synthetic": case.synthetic, "source": found, "largest_error": error}

    def _context(self, case: Case, sources: Sequence[SourceSeries | None]) -> Context:
        """What the objects of a case refer to; patient and frame of reference are those of the first source."""
        first = next((source for source in sources if source is not None), None)
        if self.keep_identity and first is None:
            found, cure = f"no series has the grid and the voxels of {case.id}", "leave out --keep-identity"
            raise RequestError("--keep-identity", found, "the identity is that of a series", cure)
        if any(source is not None and source.burned_in for source in sources) and not self.keep_identity:
            found = f"the images of {case.id} carry burned-in annotation, which may identify the patient"
            cure = "clean the images and prepare them again, or add --keep-identity"
            raise RequestError("--source", found, "no identity is written unless it is asked for", cure)
        if self.keep_identity and first is not None and not is_uid(first.header.get("StudyInstanceUID")):
            limit, cure = "identifiers are digits and dots, at most 64", "correct it, or leave out --keep-identity"
            raise RequestError("--keep-identity", f"the source of {case.id} has no valid study UID", limit, cure)
        kept = kept_patient(first.header) if self.keep_identity and first else None
        frame = first.frame_of_reference if first else ""
        marks = [source.pixel_marks if source else Dataset() for source in sources]
        modalities = [modality_of(name, self.modality) for name in case.channel_names]
        written = (
            modalities,
            kept and [(each.keyword, str(each.value)) for each in kept],
            frame,
            [source and source.instances for source in sources],
            [[(each.keyword, str(each.value)) for each in found] for found in marks],
        )
        identity = identity_of(case, self.date, written)
        patient = invented_patient(identity) if kept is None else kept
        frame = frame or identity.uid("frame of reference")
        return Context(identity, patient, frame, marks)
