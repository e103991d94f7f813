"""Writes small DICOM series, segmentations and structure sets, right and wrong ones, with pydicom and highdicom."""

import warnings
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
hd = pytest.importorskip("highdicom")

from highdicom.seg import Segmentation, SegmentDescription  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sr.coding import Code  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

SHAPE = (9, 11, 12)
"""z y x: slices, rows, columns."""
AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIGIN, SPACING = (-10.0, 5.0, 20.0), (0.8, 0.7, 2.5)
"""Of the first voxel, LPS mm; between rows, columns and slices."""
STORAGE = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"


def voxels_of(seed=0, shape=SHAPE):
    """Stored values of a CT with intercept -1024: air outside, fat, muscle and bone inside."""
    values = np.random.default_rng(seed).normal(1064, 12, shape)
    values[:, :2] = 24
    values[:, 2:5] = 924
    values[:, 8:9] = 1700
    return np.rint(values).astype(np.int16)


def uid(*parts):
    """A UID that is the same in every run."""
    return generate_uid(entropy_srcs=[str(part) for part in parts])


def new_dataset(storage, instance, modality, patient="P", study="study", series="series", number=2):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = storage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = instance
    data.PatientID = data.PatientName = patient
    data.PatientBirthDate = data.PatientSex = data.StudyTime = data.StudyDate = data.StudyID = ""
    data.AccessionNumber = data.ReferringPhysicianName = ""
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(patient, study), uid(patient, study, series)
    data.Modality, data.SeriesNumber, data.FrameOfReferenceUID = modality, number, uid(patient, study, "frame")
    return data


def slices_of(voxels, *, axes=AXES, origin=ORIGIN, spacing=SPACING, slope=1, intercept=-1024, modality="CT", **names):
    """One dataset per slice."""
    series = []
    normal = np.cross(axes[:3], axes[3:])
    for index, plane in enumerate(voxels):
        data = new_dataset(STORAGE[modality], uid(sorted(names.items()), index), modality, **names)
        data.InstanceNumber, data.Rows, data.Columns = index + 1, plane.shape[0], plane.shape[1]
        data.ImagePositionPatient = [f"{x:.6f}"[:16] for x in np.add(origin, normal * spacing[2] * index)]
        data.ImageOrientationPatient = [f"{x:.9f}" for x in axes]
        data.PixelSpacing, data.SliceThickness = [str(x) for x in spacing[:2]], str(spacing[2])
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, int(plane.dtype.kind == "i")
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = str(slope), str(intercept), "HU"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.PixelData = np.ascontiguousarray(plane).tobytes()
        series.append(data)
    return series


def save(folder: Path, datasets, name="IM"):
    """Files without extension, in an order that is not that of the slices, in nested folders."""
    for index, data in enumerate(datasets):
        path = file_of(folder, index, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(path, enforce_file_format=True)
    return folder


def file_of(folder, index, name="IM"):
    """The file that ``save`` writes a dataset to."""
    place = (5 * index + 3) % 9 if index < 9 else index
    return folder / f"{name}{place % 2}" / f"{name}{place:03d}"


def segmentation(sources, masks, *, kind="BINARY", labels=("Liver", "Tumor"), number=7, **options):
    """A SEG of masks z y x n, or of a label map z y x."""
    organ = Code("123037004", "SCT", "Body structure")
    described = [
        SegmentDescription(place, label, organ, organ, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for place, label in enumerate(labels, start=1)
    ]
    patient = str(sources[0].PatientID)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom doubts names of one part
        return Segmentation(
            source_images=sources,
            pixel_array=masks,
            segmentation_type=kind,
            segment_descriptions=described,
            series_instance_uid=uid(patient, "seg", number),
            series_number=number,
            sop_instance_uid=uid(patient, "seg", number, 1),
            instance_number=1,
            manufacturer="m",
            manufacturer_model_name="m",
            software_versions="1",
            device_serial_number="1",
            **options,
        )


def structure_set(sources, regions, *, number=8, kind="CLOSED_PLANAR", names=None):
    """A structure set; ``regions`` is a list of lists of contours, each n 3 in LPS mm."""
    first = sources[0]
    data = new_dataset(STRUCTURES, uid(first.PatientID, "rt", number, 1), "RTSTRUCT", number=number)
    data.PatientID, data.StudyInstanceUID = first.PatientID, first.StudyInstanceUID
    data.SeriesInstanceUID = uid(first.PatientID, "rt", number)
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = first.SeriesInstanceUID, []
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for place, contours in enumerate(regions, start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = place, names[place - 1] if names else f"ROI {place}"
        drawn.ReferencedROINumber, drawn.ContourSequence = place, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{x:.6f}"[:16] for x in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    return data


def cube_masks(shape=SHAPE):
    """Two boxes that leave the first and last slices empty: z y x 2."""
    masks = np.zeros((*shape, 2), np.uint8)
    masks[3:6, 2:6, 3:8, 0] = 1
    masks[5:7, 7:10, 1:4, 1] = 1
    return masks
