"""Files that a request names, at any depth: found, hashed, taken out of the request and put back.

A key is the way to a reference through the request, joined by dots: "templates", "guides.0.image".
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.cases.layouts import DATASET
from medsmith.errors import FileError, RequestError
from medsmith.formats.atomic import sha256_of
from medsmith.synthesis.tasks import Reference, canonical_hash


def find_references(request: BaseModel) -> tuple[Reference, ...]:
    """Every ``CaseRef`` and ``Path`` of a validated request.

    Raises:
        RequestError: a mapping of the request has a key with a dot above a reference.
        TypeError: a method's request keeps references in a set, which has no order.
    """
    return tuple(_found(request, ()))


def _found(value: object, parts: tuple[str, ...]) -> Iterator[Reference]:
    match value:
        case CaseRef():
            yield Reference(key=_key(parts), place=str(value.cohort), kind="cohort", case=value.case)
        case Path():
            yield Reference(key=_key(parts), place=str(value), kind="files")
        case _:
            for name, inner in _children(value):
                yield from _found(inner, (*parts, name))


def _children(value: object) -> Iterable[tuple[str, object]]:
    """The parts of a value under the names that they have in its JSON."""
    match value:
        case BaseModel():
            return ((name, inner) for name, inner in value)
        case Mapping():
            return ((str(name), inner) for name, inner in value.items())
        case list() | tuple():
            return ((str(place), inner) for place, inner in enumerate(value))
        case set() | frozenset() if any(isinstance(inner, Path | BaseModel) for inner in value):
            raise TypeError("a set in a request has no order, so that nothing in it can be named: use a tuple")
    if is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in fields(value))
    return ()


def _key(parts: tuple[str, ...]) -> str:
    if any("." in part for part in parts):
        raise RequestError("request", f"the key {' > '.join(parts)} has a dot", "keys above files have none")
    return ".".join(parts)


def without_places(request: BaseModel, references: Iterable[Reference]) -> dict[str, Any]:
    """A request as JSON that does not say where its files lie: of a ``CaseRef`` the case alone stays."""
    values = request.model_dump(mode="json")
    for reference in references:
        parent, name = _parent(values, reference.key)
        if reference.kind == "cohort":
            del parent[name]["cohort"]
        elif isinstance(parent, list):
            parent[name] = None
        else:
            del parent[name]
    return values


def with_places(request: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """The other way round.

    Args:
        request: without places; it is not changed.
        places: key -> where the files lie.

    Raises:
        RequestError: the request has nothing under a key.
    """
    values = _copied(request)
    for key, place in places.items():
        try:
            parent, name = _parent(values, key)
            there = parent[name] if isinstance(parent, list) else parent.get(name)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise RequestError("request", f"has no place for '{key}'") from None
        parent[name] = {**there, "cohort": place} if isinstance(there, Mapping) else place
    return dict(values)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def _parent(values: Any, key: str) -> tuple[Any, Any]:
    """What holds the value under a key, and its name in there."""
    *above, last = key.split(".")
    for part in above:
        values = values[int(part) if isinstance(values, list) else part]
    return values, int(last) if isinstance(values, list) else last


def hash_references(references: Iterable[Reference]) -> dict[str, str]:
    """Key -> SHA-256 of the content of what is named there; whatever is named twice is read once.

    Of a cohort all cases count, or the one that is named; of a folder its files.

    Raises:
        FileError: something is not there, or cannot be read.
        CohortError: a cohort is none, or has no such case.
    """
    cohorts: dict[str, Cohort] = {}
    known: dict[tuple[str, str, str | None], str] = {}
    hashes: dict[str, str] = {}
    for reference in references:
        which = (reference.kind, os.path.realpath(reference.place), reference.case)
        if which not in known:
            known[which] = _content_hash(reference, cohorts)
        hashes[reference.key] = known[which]
    return hashes


def absolute(place: str) -> str:
    """A place that means the same in every process, whatever its working directory."""
    return str(Path(place).absolute())


def _content_hash(reference: Reference, cohorts: dict[str, Cohort]) -> str:
    path = Path(reference.place)
    if reference.kind == "cohort" or (path / DATASET).is_file():
        place = os.path.realpath(path)
        if place not in cohorts:
            cohorts[place] = Cohort.open(path)
        cohort = cohorts[place]
        return (cohort if reference.case is None else cohort.subset([reference.case])).content_hash()
    if path.is_dir():
        return canonical_hash({file.name: sha256_of(file) for file in sorted(path.iterdir()) if file.is_file()})
    if not path.exists():
        raise FileError(path, "does not exist", f"the request names it as {reference.key}", "name another")
    return sha256_of(path)
