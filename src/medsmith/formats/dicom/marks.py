"""What marks a DICOM object as synthetic: what ``medsmith export`` writes, and what others write of it."""

from collections.abc import Iterator
from typing import Any, Final

NOTICE: Final = "SYNTHETIC research data, not for diagnosis"
"""Begins the Derivation Description of a synthetic image."""
SERIES_NOTICE: Final = "SYNTHETIC, not for diagnosis: "
"""Begins the Series Description of a synthetic object."""
MARKED: Final = {
    "synthetic": True,
    "notice": "Synthetic research data. Not for diagnosis.",
    "origin": "marked as synthetic in its DICOM files",
}
"""Provenance of a case whose files are marked; how it was made is not known."""
SYNTHESIZING_EQUIPMENT: Final = "109100"
"""Code of DCM (PS3.16) for the purpose of Contributing Equipment."""
MARKS: Final = ("SyntheticData", "DerivationDescription", "SeriesDescription", "ContributingEquipmentSequence")
"""Attributes that can mark an object."""


def is_marked_synthetic(data: Any) -> bool:
    """Whether an object is marked: Synthetic Data YES, Synthesizing Equipment (PS3.3 C.12.1), or medsmith's texts.

    Args:
        data: a pydicom dataset with the attributes ``MARKS``, as far as it has them.
    """
    return (
        str(data.get("SyntheticData") or "").strip().upper() == "YES"
        or str(data.get("DerivationDescription") or "").startswith(NOTICE)
        or str(data.get("SeriesDescription") or "").startswith(SERIES_NOTICE.rstrip())
        or SYNTHESIZING_EQUIPMENT in _purposes(data)
    )


def _purposes(data: Any) -> Iterator[str]:
    """Codes of the purposes of contributing equipment."""
    for equipment in data.get("ContributingEquipmentSequence") or ():
        for code in equipment.get("PurposeOfReferenceCodeSequence") or ():
            if code.get("CodingSchemeDesignator") == "DCM":
                yield str(code.get("CodeValue") or "")
