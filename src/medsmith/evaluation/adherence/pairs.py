"""The pairs of one attribute: made from one seed each, measured, pictured, and kept as files."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from medsmith.cases.case import Case
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError, counted
from medsmith.evaluation.adherence.pictures import pair_picture
from medsmith.evaluation.kept_parts import keep_part, kept_part, warn_damaged
from medsmith.formats.atomic import sha256_of, write_bytes
from medsmith.formats.opening import read_bytes
from medsmith.methods.attributes import Attribute, Draw
from medsmith.methods.base import Method
from medsmith.networks.threads import one_thread
from medsmith.progress import Advance

LEAST_PAIRS = 10
"""Of ten pairs all in order, the exact p value is 2 of 1,024: enough for 25 attributes by Holm's procedure."""
PICTURED = 4
"""Pairs of an attribute that are shown."""
_DRAWS_PER_PAIR, _MORE_DRAWS = 3, 10
_PICTURE = "picture_sha256"


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """What was made for one attribute.

    Attributes:
        values: the property of each draw and level.
        of: of each draw, what it was made in ("template ct_0001"), or "".
        pictures: PNG of the first draws: at each level the image, and the same with what was made outlined.
        refused: draws for which the method had no place.
        unmeasured: draws in which a case does not show the property.
    """

    values: Float64[np.ndarray, "n k"]
    of: tuple[str, ...]
    pictures: tuple[bytes, ...]
    refused: int
    unmeasured: int


@final
@dataclass(frozen=True)
class Maker:
    """Makes the cases of requests and keeps what is measured of them.

    Attributes:
        method: a trained one.
        folder: of the kept pairs, which no other weights, cohort or seed may share.
        seed: of all pairs.
        inputs: what the user named.
    """

    method: Method
    folder: Path
    seed: int
    inputs: Draw

    def pairs(self, attribute: Attribute, count: int, advance: Advance) -> Pairs:
        """The pairs of an attribute; those that are there already are read.

        The draws are numbered; a draw without a place, or in which the property cannot be measured, is passed over, and
        at most 3 n + 10 draws are made for n pairs.

        Args:
            attribute: of the method.
            count: pairs that are wanted, at least 10.
            advance: called after every pair.

        Raises:
            RequestError: fewer than 10 pairs could be made.
            MedsmithError: a file cannot be read or written.
        """
        kept: list[tuple[int, Mapping[str, Any]]] = []
        refused: list[str] = []
        unmeasured = 0
        for number in range(most_draws(count)):
            try:
                record = self._record(attribute, number)
            except RequestError as error:
                refused.append(error.line)
                continue
            if None in record["values"]:
                unmeasured += 1
            else:
                kept.append((number, record))
                advance(1, attribute.name)
            if len(kept) == count:
                break
        if len(kept) < LEAST_PAIRS:
            raise _too_few(attribute, len(kept), refused, unmeasured)
        pictures = [read_bytes(self._file(attribute, number, "png")) for number, _ in kept[:PICTURED]]
        values = np.array([record["values"] for _, record in kept], np.float64)
        return Pairs(values, tuple(record["of"] for _, record in kept), tuple(pictures), len(refused), unmeasured)

    def _record(self, attribute: Attribute, number: int) -> Mapping[str, Any]:
        """What is kept of a draw: the property at each level."""
        path, picture = (self._file(attribute, number, ending) for ending in ("json", "png"))
        found = kept_part(path)
        if found is not None and _is_kept(picture, found[_PICTURE]):
            return found
        seed = derive_seed("adherence", self.seed, attribute.name, number)
        cases = self._cases(attribute, number, seed)
        values = [float(value) for value in attribute.measure(cases)]
        finite = [value if math.isfinite(value) else None for value in values]
        drawn = None if None in finite else pair_picture(attribute, cases, values)
        if drawn is not None:
            write_bytes(picture, drawn)
        digest = None if drawn is None else hashlib.sha256(drawn).hexdigest()
        record = {"seed": str(seed), "of": _origin(cases), "values": finite, _PICTURE: digest}
        keep_part(path, record)
        return record

    def _cases(self, attribute: Attribute, number: int, seed: int) -> list[Case]:
        requests = attribute.requests(replace(self.inputs, number=number))
        with one_thread():
            return [self.method.synthesize(request, seed, self.method.config.sampling) for request in requests]

    def _file(self, attribute: Attribute, number: int, ending: str) -> Path:
        return self.folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', attribute.name)}-{number:04d}.{ending}"


def most_draws(count: int) -> int:
    """Draws that are made at most for so many that are wanted."""
    return _DRAWS_PER_PAIR * count + _MORE_DRAWS


def _is_kept(picture: Path, digest: str | None) -> bool:
    """Whether a picture is the one that was drawn, or none was."""
    if digest is None:
        return True
    if not picture.exists():
        return False
    kept = sha256_of(picture) == digest
    if not kept:
        warn_damaged(picture)
    return kept


def _origin(cases: Sequence[Case]) -> str:
    template = (cases[0].provenance or {}).get("template", "")
    return f"template {template}" if template else ""


def _too_few(attribute: Attribute, made: int, refused: Sequence[str], unmeasured: int) -> RequestError:
    if made == 0 and refused and not unmeasured:
        return RequestError(f"attribute '{attribute.name}'", f"no draw has a place for it; {refused[-1]}")
    lost = f"{counted(len(refused), 'draw')} had no place, {unmeasured} could not be measured"
    found = f"{counted(made, 'pair')} could be made ({lost})"
    return RequestError(f"attribute '{attribute.name}'", found, f"at least {LEAST_PAIRS}", "give more templates")
