"""The label map of a case as a DICOM segmentation (PS3.3, A.51), one binary segment per label."""

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from jaxtyping import UInt8
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medsmith.cases.case import Case
from medsmith.exporting.dataset import Context, marked
from medsmith.exporting.identity import MAKER, Identity, long_string
from medsmith.exporting.planes import Planes
from medsmith.exporting.segment import Segment, segments_of

SERIES_NUMBER = 100
_LESION = codes.SCT.MorphologicallyAbnormalStructure
_KINDS: Mapping[str, Code] = MappingProxyType(
    {"tumor": codes.SCT.Neoplasm, "tumour": codes.SCT.Neoplasm, "cyst": codes.SCT.Cyst, "nodule": codes.SCT.Nodule,
     "hematoma": codes.SCT.Hematoma, "lesion": codes.SCT.Lesion, "metastasis": codes.SCT.Lesion,
     "stone": codes.SCT.Lesion, "opacity": codes.SCT.Lesion}
)  # fmt: skip
"""Word in a label name -> kind of lesion."""
_PARTS: Mapping[str, Code] = MappingProxyType(
    {"portal": codes.SCT.PortalVein, "hepatic": codes.SCT.HepaticVein, "liver": codes.SCT.Liver,
     "kidney": codes.SCT.Kidney, "lung": codes.SCT.Lung, "spleen": codes.SCT.Spleen, "pancreas": codes.SCT.Pancreas,
     "hippocampus": codes.SCT.Hippocampus, "breast": codes.SCT.Breast, "bone": codes.SCT.Bone}
)  # fmt: skip
"""Word in a label name -> anatomical structure."""
_UNKNOWN = "not known"
"""Algorithm of labels that medsmith did not make; a type is required, and there is none for unknown."""


def numbered(labels: UInt8[np.ndarray, "*space"], segments: Sequence[Segment]) -> UInt8[np.ndarray, "*space"]:
    """The label map with the numbers of segments in place of the values."""
    table = np.zeros(256, np.uint8)
    for segment in segments:
        table[segment.value] = segment.number
    found: UInt8[np.ndarray, "*space"] = table[labels]
    return found


def coded(name: str) -> tuple[Code, Code]:
    """Category and type of a label by the words of its name; plain tissue where none is known."""
    words = name.casefold().replace("-", " ").replace("_", " ").split()
    for word in words:
        if word in _KINDS:
            return _LESION, _KINDS[word]
    part = next((_PARTS[word] for word in words if word in _PARTS), None)
    return (codes.SCT.AnatomicalStructure, part) if part else (codes.SCT.Tissue, codes.SCT.Tissue)


def segmentation(case: Case, images: Sequence[Dataset], planes: Planes, context: Context) -> Dataset:
    """The segmentation of a case on the grid of its images; every frame is there, empty ones as well.

    Args:
        case: with labels.
        images: the series that it refers to, with their pixels.
        planes: of its grid.
        context: of the case.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on names of patients without a caret, which hospitals use
        found = _built(case, images, planes, context.identity)
    identity = context.identity
    found.InstanceCreationDate, found.InstanceCreationTime = identity.date, "000000"
    found.SeriesDate, found.SeriesTime = identity.date, "000000"
    _name_dimensions(found, identity.uid("dimensions"))
    if not identity.made:
        for segment in found.SegmentSequence:
            segment.SegmentAlgorithmName = _UNKNOWN
            del segment.SegmentationAlgorithmIdentificationSequence
    return marked(found, identity)


def _built(case: Case, images: Sequence[Dataset], planes: Planes, identity: Identity) -> Segmentation:
    segments = segments_of(case.label_names)
    return Segmentation(
        source_images=list(images),
        pixel_array=numbered(planes.arranged(case.require_labels()), segments),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(segment, identity) for segment in segments],
        series_instance_uid=identity.uid("series", "segmentation"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.uid("segmentation"),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=identity.model,
        software_versions=identity.version,
        device_serial_number=identity.serial,
        content_description=identity.series_description("label map"),
        content_label="LABELS",
        omit_empty_frames=False,
        series_description=identity.series_description("label map"),
        content_date=identity.date,
        content_time="000000",
    )


def _name_dimensions(found: Dataset, uid: str) -> None:
    """Replaces the random identifier of the dimensions, so that equal content gives equal bytes."""
    for item in (*found.DimensionOrganizationSequence, *found.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _described(segment: Segment, identity: Identity) -> SegmentDescription:
    category, kind = coded(segment.name)
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=long_string(segment.name),
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=long_string(f"{MAKER} {identity.model}"),
            family=codes.cid7162.ArtificialIntelligence,
            version=identity.version,
        ),
        tracking_uid=identity.uid("segment", segment.number),
        tracking_id=long_string(f"{identity.case_id} {segment.name}"),
    )
