"""The table of label names in the header of a NIfTI file, as TotalSegmentator 2 writes it."""

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

_LABEL = re.compile(r'<Label\b[^>]*\bKey="(\d{1,3})"[^>]*>\s*(?:<!\[CDATA\[)?\s*([\w .-]+?)\s*(?:\]\]>)?\s*</Label>')
_NIFTI = (".nii", ".nii.gz")


def label_table(path: Path) -> dict[int, str]:
    """Value -> name from the header's extension, without background; empty where there is none."""
    if not path.name.lower().endswith(_NIFTI):
        return {}
    table: dict[int, str] = {}
    for extension in _extensions(path):
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        table |= {int(value): name for value, name in _LABEL.findall(text)}
    return {value: name for value, name in table.items() if value}


def _extensions(path: Path) -> Iterable[nib.nifti1.Nifti1Extension]:
    try:
        return tuple(nib.load(path).header.extensions)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError):
        return ()  # reading the voxels says what is wrong
