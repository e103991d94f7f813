"""An image channel as a series of CT or MR images (PS3.3, A.3 and A.4)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from pydicom.valuerep import DSfloat

from medsmith.cases.case import Case
from medsmith.cases.hounsfield import is_ct
from medsmith.cases.windows import CT_WINDOWS
from medsmith.errors import RequestError
from medsmith.exporting.dataset import Context, derivation, started
from medsmith.exporting.pixels import Pixels, as_pixels
from medsmith.exporting.planes import Planes

Modality = Literal["CT", "MR"]
_MR = ("mr", "t1", "t2", "flair", "pd", "dwi", "adc", "swi")
_LOW, _HIGH = 0.5, 99.5
"""Percentiles that an MR window runs between."""


def modality_of(channel: str, asked: Modality | None = None) -> Modality:
    """The modality of a channel: the one asked for, else by its name.

    Raises:
        RequestError: the name does not tell.
    """
    if asked:
        return asked
    if is_ct(channel):
        return "CT"
    if channel.casefold().startswith(_MR):
        return "MR"
    limit, cure = "CT and MR can be written", "name one by --modality"
    raise RequestError("export", f"the channel name {channel!r} tells no modality", limit, cure)


def image_series(
    case: Case, channel: int, planes: Planes, modality: Modality, context: Context
) -> tuple[list[Dataset], float]:
    """One object per slice of a channel, and the largest difference of a gray value to the stored one.

    Args:
        case: with an image.
        channel: index of the channel.
        planes: of its grid.
        modality: of the channel.
        context: of the case.
    """
    gray = case.require_image()[channel]
    pixels, name = as_pixels(planes.arranged(gray)), case.channel_names[channel]
    series = context.identity.uid("series", channel)
    shared = started(context, modality, series, 1 + channel, name)
    _describe(shared, pixels, planes, modality, _window(gray, modality))
    shared.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if modality == "CT" else "OTHER"]
    shared.DerivationDescription = derivation(context.identity)
    shared.update(context.marks[channel])
    uids = [context.identity.uid(channel, number) for number in range(planes.count)]
    return [_slice(shared, pixels, planes, number, uid) for number, uid in enumerate(uids)], pixels.error


def _window(gray: Float32[np.ndarray, "x y z"], modality: Modality) -> tuple[float, float]:
    """Center and width of the display window."""
    if modality == "CT":
        return CT_WINDOWS["soft"].level, CT_WINDOWS["soft"].width
    low, high = (float(value) for value in np.percentile(gray, (_LOW, _HIGH)))
    return (low + high) / 2, high - low or 1.0


def _describe(shared: Dataset, pixels: Pixels, planes: Planes, modality: Modality, window: tuple[float, float]) -> None:
    """Adds what the slices of a series share."""
    shared.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    shared.PatientPosition = shared.Laterality = ""
    shared.AcquisitionNumber = 1
    shared.ImageOrientationPatient = _decimals(planes.orientation)
    shared.PixelSpacing = _decimals(planes.pixel_spacing)
    shared.SliceThickness = shared.SpacingBetweenSlices = _decimal(planes.thickness)
    shared.SamplesPerPixel, shared.PhotometricInterpretation = 1, "MONOCHROME2"
    _, shared.Rows, shared.Columns = pixels.values.shape
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit, shared.PixelRepresentation = 15, int(pixels.signed)
    shared.WindowCenter, shared.WindowWidth = _decimal(window[0]), _decimal(window[1])
    if modality == "CT":
        shared.KVP, shared.RescaleType = None, "HU"
    else:
        shared.ScanningSequence, shared.SequenceVariant, shared.ScanOptions = "RM", "NONE", ""
        shared.MRAcquisitionType, shared.EchoTime, shared.EchoTrainLength = "", None, None
        shared.RepetitionTime = None
        shared.VOILUTFunction = "LINEAR_EXACT"  # LINEAR takes 1 off the width, which normalized values lie within
    if modality == "CT" or (pixels.slope, pixels.intercept) != (1, 0):
        shared.RescaleSlope, shared.RescaleIntercept = _decimal(pixels.slope), _decimal(pixels.intercept)


def _slice(shared: Dataset, pixels: Pixels, planes: Planes, number: int, uid: str) -> Dataset:
    found = Dataset()
    found.update(shared)
    found.SOPInstanceUID, found.InstanceNumber = uid, number + 1
    position = planes.position(number)
    found.ImagePositionPatient = _decimals(position.tolist())
    normal = np.cross(planes.columns, planes.rows)
    found.SliceLocation = _decimal(float(position @ normal))
    values = np.ascontiguousarray(pixels.values[number])
    found.add_new("PixelData", "OW", values.astype(values.dtype.newbyteorder("<")).tobytes())
    return found


def _decimal(value: float) -> DSfloat:
    """A decimal string of at most 16 characters."""
    return DSfloat(value + 0.0, auto_format=True)


def _decimals(values: Sequence[float]) -> list[DSfloat]:
    return [_decimal(value) for value in values]
