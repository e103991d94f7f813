"""A file of voxels, decoded."""

from pathlib import Path
from typing import Any

from medsmith.errors import FileError
from medsmith.formats.dicom.decoding import make_decodable
from medsmith.formats.dicom.headers import COPY_AGAIN


def read_pixels(path: Path, place: str) -> Any:
    """A file with its voxels decoded, as a pydicom dataset.

    Args:
        path: the file.
        place: names it in errors.

    Raises:
        FileError: it is damaged, or cannot be decoded.
    """
    from pydicom import dcmread

    try:
        data = dcmread(path, force=True)
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value causes
        raise FileError(place, f"cannot be read as DICOM ({type(error).__name__})", cure=COPY_AGAIN) from None
    try:
        make_decodable(data, place)
        data.pixel_array  # noqa: B018  # decoded once, kept by pydicom
    except (FileError, MemoryError):
        raise
    except Exception as error:
        found = f"its voxels cannot be decoded ({type(error).__name__})"
        raise FileError(place, found, "the voxels that its header gives", COPY_AGAIN) from None
    return data
