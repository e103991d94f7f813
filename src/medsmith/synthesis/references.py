"""Cohorts and files named by a request, at any depth: finds and hashes them, removes and restores their paths.

The key of a reference is its dotted path within the request: "templates", "guides.0.image".
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import DATASET
from medsmith.errors import FileError, RequestError
from medsmith.formats.atomic import sha256_of
from medsmith.formats.folders import check_outside
from medsmith.synthesis.tasks import Reference, canonical_hash


def find_references(request: BaseModel) -> tuple[Reference, ...]:
    """All ``CaseRef`` and ``Path`` values of a validated request.

    Raises:
        RequestError: the key of a mapping that holds a reference contains a dot.
        TypeError: the request class holds references in a set, which has no order.
    """
    return tuple(_found(request, ()))


def _found(value: object, parts: tuple[str, ...]) -> Iterator[Reference]:
    match value:
        case CaseRef():
            yield Reference(key=_key(parts), path=str(value.cohort), kind="cohort", case=value.case)
        case Path():
            yield Reference(key=_key(parts), path=str(value), kind="files")
        case _:
            for name, inner in _children(value):
                yield from _found(inner, (*parts, name))


def _children(value: object) -> Iterable[tuple[str, object]]:
    """The items of a value under their JSON keys."""
    match value:
        case BaseModel():
            return ((name, inner) for name, inner in value)
        case Mapping():
            return ((str(name), inner) for name, inner in value.items())
        case list() | tuple():
            return ((str(index), inner) for index, inner in enumerate(value))
        case set() | frozenset() if any(isinstance(inner, Path | BaseModel) for inner in value):
            raise TypeError("a set in a request has no order, so its items have no keys: use a tuple")
    if is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in fields(value))
    return ()


def _key(parts: tuple[str, ...]) -> str:
    if any("." in part for part in parts):
        raise RequestError("request", f"the key {' > '.join(parts)} has a dot", "keys above files have none")
    return ".".join(parts)


def without_paths(request: BaseModel, references: Iterable[Reference]) -> dict[str, Any]:
    """A request as JSON without the paths of its references; a ``CaseRef`` keeps its case only."""
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


def with_paths(request: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """Inverse of ``without_paths``.

    Args:
        request: without paths; it is not changed.
        paths: key -> path of the cohort or file.

    Raises:
        RequestError: the request has no such key.
    """
    values = _deep_copy(request)
    for key, path in paths.items():
        try:
            parent, name = _parent(values, key)
            value = parent[name] if isinstance(parent, list) else parent.get(name)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise RequestError("request", f"has no place for '{key}'") from None
        parent[name] = {**value, "cohort": path} if isinstance(value, Mapping) else path
    return dict(values)


def _deep_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deep_copy(inner) for key, inner in value.items()}
    return [_deep_copy(inner) for inner in value] if isinstance(value, list | tuple) else value


def _parent(values: Any, key: str) -> tuple[Any, Any]:
    """The container of the value under a key, and its key or index in the container."""
    *above, last = key.split(".")
    for part in above:
        values = values[int(part) if isinstance(values, list) else part]
    return values, int(last) if isinstance(values, list) else last


def hash_references(references: Iterable[Reference]) -> dict[str, str]:
    """Key -> SHA-256 of the referenced content; content referenced twice is read once.

    The hash covers all cases of a cohort or the one named case, or all files of a folder.

    Raises:
        FileError: a file is missing or unreadable.
        CohortError: the folder is not a cohort, or has no such case.
    """
    cohorts: dict[str, Cohort] = {}
    known: dict[tuple[str, str, str | None], str] = {}
    hashes: dict[str, str] = {}
    for reference in references:
        identity = (reference.kind, os.path.realpath(reference.path), reference.case)
        if identity not in known:
            known[identity] = _content_hash(reference, cohorts)
        hashes[reference.key] = known[identity]
    return hashes


def check_output(out: Path, run: str, paths: Iterable[str]) -> None:
    """Checks that a folder of synthetic cases lies in no folder that is read for them.

    Args:
        out: the folder.
        run: the run folder, or the name of shipped weights.
        paths: of the cohorts and files that the request names.

    Raises:
        CohortError: it lies in one.
    """
    check_outside(out, (Path(path) for path in (run, *paths) if Path(path).is_dir()))


def absolute(path: str) -> str:
    """The absolute path, which is valid whatever a worker's working directory."""
    return str(Path(path).absolute())


def _content_hash(reference: Reference, cohorts: dict[str, Cohort]) -> str:
    path = Path(reference.path)
    if reference.kind == "cohort" or (path / DATASET).is_file():
        root = os.path.realpath(path)
        if root not in cohorts:
            cohorts[root] = Cohort.open(path)
        cohort = cohorts[root]
        return (cohort if reference.case is None else cohort.subset([reference.case])).content_hash()
    if path.is_dir():
        return canonical_hash({file.name: sha256_of(file) for file in sorted(path.iterdir()) if file.is_file()})
    if not path.exists():
        raise FileError(path, "does not exist", f"the request names it as {reference.key}", "name another")
    return sha256_of(path)
