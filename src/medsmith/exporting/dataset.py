r"""What the DICOM objects of a case have in common: patient, study, frame of reference, equipment, and the marks.

Marks of synthetic objects (PS3.3): Synthetic Data YES (C.12.1, general), Contributing Equipment with purpose 109100
Synthesizing Equipment (C.12.1.1.5), Image Type DERIVED\SECONDARY and a Derivation Description (C.7.6.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import final

from highdicom import ContributingEquipment
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RTStructureSetStorage

from medsmith.exporting.identity import MAKER, Identity
from medsmith.formats.atomic import write_bytes
from medsmith.formats.dicom.marks import NOTICE

IMPLEMENTATION = "2.25.225116843016351688548375772001002559079"
"""Implementation Class UID: UUID-derived, of this writer."""
COPIED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes of patient and study that ``keep_identity`` takes from the source."""


@final
@dataclass(frozen=True, eq=False)
class Context:
    """What every object of a case refers to.

    Attributes:
        identity: of the case.
        patient: attributes of patient and study.
        frame_of_reference: its identifier; that of the source if the grid is unchanged.
        marks: what the source of each channel says of its pixels (``pixel_marks``); nothing is known without one.
    """

    identity: Identity
    patient: Dataset
    frame_of_reference: str
    marks: Sequence[Dataset]


def invented_patient(identity: Identity) -> Dataset:
    """Patient and study of a case that shares none with any hospital."""
    found = Dataset()
    found.PatientName = f"{'SYNTHETIC' if identity.synthetic else 'CASE'}^{MAKER}"
    found.PatientID = identity.patient_id
    found.PatientBirthDate = found.PatientSex = ""
    found.StudyInstanceUID = identity.uid("study")
    found.StudyID = found.AccessionNumber = found.ReferringPhysicianName = ""
    found.StudyDate, found.StudyTime = identity.date, "000000"
    found.StudyDescription = identity.series_description(identity.model)
    found.PatientIdentityRemoved = "YES"
    found.DeidentificationMethod = "no attribute of patient or study was taken over"
    return found


def kept_patient(source: Dataset) -> Dataset:
    """Patient and study of the source series, for those who asked for it."""
    found = Dataset()
    for keyword in COPIED:
        if keyword in source:
            found[keyword] = source[keyword]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber",
                    "ReferringPhysicianName", "StudyDate", "StudyTime"):  # fmt: skip
        found.setdefault(keyword, "")
    found.PatientIdentityRemoved = "NO"
    return found


def started(context: Context, modality: str, series: str, number: int, what: str) -> Dataset:
    """A data set with the modules that all objects share; series and instance are the caller's.

    Args:
        context: of the case.
        modality: such as CT.
        series: identifier of the series.
        number: of the series within the study.
        what: the series holds, for its description.
    """
    identity, found = context.identity, Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    found.update(context.patient)
    found.Modality, found.SeriesInstanceUID, found.SeriesNumber = modality, series, number
    found.SeriesDescription = identity.series_description(what)
    found.SeriesDate = found.ContentDate = found.InstanceCreationDate = identity.date
    found.SeriesTime = found.ContentTime = found.InstanceCreationTime = "000000"
    found.FrameOfReferenceUID, found.PositionReferenceIndicator = context.frame_of_reference, ""
    found.Manufacturer, found.ManufacturerModelName = MAKER, identity.model
    found.DeviceSerialNumber, found.SoftwareVersions = identity.serial, identity.version
    return marked(found, identity)


def marked(found: Dataset, identity: Identity) -> Dataset:
    """The data set with the marks of its origin."""
    if identity.synthetic:
        found.SyntheticData = "YES"
    found.ContributingEquipmentSequence = [contributing(identity)]
    return found


def contributing(identity: Identity) -> ContributingEquipment:
    """What made the object: method, version, date, seed and hashes."""
    purpose = codes.DCM.SynthesizingEquipment if identity.made else codes.DCM.ProcessingEquipment
    return ContributingEquipment(
        MAKER,
        purpose,
        manufacturer_model_name=identity.model,
        software_versions=identity.version,
        device_serial_number=identity.serial,
        contribution_datetime=f"{identity.date}000000",
        contribution_description=identity.description,
    )


def derivation(identity: Identity) -> str:
    """Derivation Description."""
    return f"{NOTICE}; {identity.model}" if identity.synthetic else "converted"


def _syntax(dataset: Dataset) -> UID:
    """The transfer syntax of an object.

    A contour may take more than the 64 KiB that Contour Data has where value representations are explicit (PS3.5,
    7.1.2).
    """
    return ImplicitVRLittleEndian if dataset.SOPClassUID == RTStructureSetStorage else ExplicitVRLittleEndian


def write_dicom(path: Path, dataset: Dataset) -> None:
    """Writes an object as a file, atomically; preamble zero, little endian, structure sets with implicit VR.

    Raises:
        FileError: it cannot be written.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = _syntax(dataset), IMPLEMENTATION
    meta.ImplementationVersionName = MAKER.upper()
    file = FileDataset("", dict(dataset.items()), preamble=bytes(128), file_meta=meta)
    buffer = BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())
