"""Who and what a DICOM export is about: identifiers, the patient that does not exist, and the equipment.

Identifiers follow from the content, so that the same case gives the same bytes (PS3.5, B.2: UUID-derived; RFC 9562,
version 8: bits of a hash).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, final

import numpy as np

from medsmith.cases.case import Case
from medsmith.formats.dicom.marks import NOTICE, SERIES_NOTICE

MAKER = "medsmith"
_BYTES, _DESCRIPTION = 16, 1024
"""Of a UUID, and of the value representation ST."""
_LONG_STRING = 64
"""Characters of the value representation LO."""
_HASH_DIGITS = 12
_NOT_IN_A_STRING = re.compile(r"[\\\x00-\x1f\x7f]")
"""A backslash parts values of an attribute, and control characters have no place in them (PS3.5, 6.2)."""


@final
@dataclass(frozen=True)
class Identity:
    """One case of an export.

    Attributes:
        case_id: of the cohort.
        digest: SHA-256 over all that is written of the case, and over how it is written.
        synthetic: whether it is synthetic, whoever made it.
        provenance: of the case.
        date: of the export, YYYYMMDD.
    """

    case_id: str
    digest: str
    synthetic: bool
    provenance: Mapping[str, Any]
    date: str

    def uid(self, *words: object) -> str:
        """The identifier of a part of this case: equal for equal words and content."""
        text = "\n".join((self.digest, self.date, *map(str, words)))
        return f"2.25.{_uuid(hashlib.sha256(text.encode()).digest())}"

    @property
    def patient_id(self) -> str:
        """The case's id; one that is too long for DICOM ends with its hash, lest cases become one patient."""
        if len(self.case_id) <= _LONG_STRING:
            return self.case_id
        return f"{self.case_id[: _LONG_STRING - 1 - _HASH_DIGITS]}-{_hash_of(self.case_id)[:_HASH_DIGITS]}"

    @property
    def version(self) -> str:
        """Of medsmith."""
        return metadata.version(MAKER)

    @property
    def model(self) -> str:
        """The method that made the case."""
        return str(self.provenance.get("method", "cohort"))

    @property
    def made(self) -> bool:
        """Whether medsmith made it, as far as is known: files that are marked as synthetic name no method."""
        return self.synthetic and "method" in self.provenance

    @property
    def serial(self) -> str:
        """Of the equipment: the beginning of the hash of the weights, or of the content."""
        return str(self.provenance.get("weights_hash") or self.digest)[:_BYTES]

    @property
    def description(self) -> str:
        """How the case was made, for Contribution Description."""
        if not self.synthetic:
            return "converted"
        keys = ("origin", "method", "run_seed", "index", "attempt", "case_seed", "weights_hash", "config_hash")
        known = [f"{key} {self.provenance[key]}" for key in keys if self.provenance.get(key) is not None]
        return "; ".join((NOTICE, *known))[:_DESCRIPTION]

    def series_description(self, what: str) -> str:
        """Of a series."""
        return long_string(f"{SERIES_NOTICE if self.synthetic else ''}{what}")


def long_string(text: str) -> str:
    """A text as one value of the representation LO: 64 characters at most, ``_`` for those that it cannot have."""
    return _NOT_IN_A_STRING.sub("_", text)[:_LONG_STRING]


def identity_of(case: Case, date: str, written: Iterable[object] = ()) -> Identity:
    """The identity of a case.

    Args:
        case: as it is exported.
        date: of the export, YYYYMMDD.
        written: all else that the objects depend on, such as modalities; other bytes never get the same identifier.
    """
    digest = hashlib.sha256()
    geometry = case.geometry
    names = case.channel_names, sorted(case.label_names.items())
    provenance = json.dumps(case.provenance, sort_keys=True, default=_plain)
    for part in (case.id, *names, geometry.shape, case.synthetic, provenance, metadata.version(MAKER), *written):
        digest.update(f"{part}\n".encode())
    digest.update(np.ascontiguousarray(geometry.affine, np.float64).tobytes())
    for array in (case.image, case.labels):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return Identity(case.id, digest.hexdigest(), case.synthetic, case.provenance or {}, date)


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _uuid(digest: bytes) -> int:
    """A UUID of version 8 and the variant of RFC 9562, its other bits those of a digest."""
    found = int.from_bytes(digest[:_BYTES], "big")
    return found & ~(0xF << 76) & ~(0b11 << 62) | 8 << 76 | 0b10 << 62


def _plain(value: object) -> object:
    """A mapping as JSON has it; other values by their text."""
    return dict(value) if isinstance(value, Mapping) else str(value)
