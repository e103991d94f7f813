"""A shape space as one safetensors file: arrays in double precision, the record as JSON in its metadata."""

import hashlib
import json
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from medsmith.anatomy.record import FARTHEST, SpaceArrays, SpaceRecord, array_shapes
from medsmith.errors import FileError
from medsmith.formats.atomic import write_bytes
from medsmith.formats.json_file import parse_json
from medsmith.formats.opening import read_bytes
from medsmith.formats.validation import first_problem

_KEY = "shape_space"
_LIMIT = 2**30
_RESTORE = "restore it, or fit the space again"


def space_bytes(record: SpaceRecord, arrays: SpaceArrays) -> bytes:
    """The bytes of a file; equal spaces give equal bytes."""
    # A single key: safetensors writes several in arbitrary order.
    said = json.dumps(record.model_dump(mode="json"), sort_keys=True, allow_nan=False)
    plain = {name: np.ascontiguousarray(array, np.float64) for name, array in arrays.as_mapping().items()}
    return save(plain, metadata={_KEY: said})


def write_space(path: Path, data: bytes) -> None:
    """Writes a space atomically; a file with the same bytes is left alone.

    Raises:
        FileError: the path holds something else, or cannot be written.
    """
    check_free(path, data)
    if not path.exists():
        write_bytes(path, data)


def check_free(path: Path, data: bytes | None = None) -> None:
    """Checks that nothing is overwritten.

    Args:
        path: of the file to write.
        data: its bytes, if they are known; a shape space at the path may then only be the same.

    Raises:
        FileError: the path holds something else than a shape space, or another one.
    """
    if not path.exists() and not path.is_symlink():
        return
    try:
        read_space(path)
    except FileError:
        raise FileError(path, "exists and is no shape space", cure="choose another file") from None
    if data is not None and read_bytes(path, _LIMIT) != data:
        raise FileError(path, "holds another shape space", cure="choose another file, or remove it")


def read_space(path: Path) -> tuple[SpaceRecord, SpaceArrays]:
    """Reads and checks a space.

    Raises:
        FileError: there is no such file, it is no shape space, or it is damaged.
    """
    data = read_bytes(path, _LIMIT)
    try:
        with safe_open(path, "np") as file:
            said = (file.metadata() or {}).get(_KEY)
        arrays = load(data)
    except (OSError, SafetensorError) as error:
        raise FileError(path, f"is no shape space ({error})", cure=_RESTORE) from None
    if said is None:
        raise FileError(path, "is no shape space (safetensors without its record)", cure="name another file")
    record = _record(path, said)
    _check_arrays(path, record, arrays)
    return record, SpaceArrays(**arrays)


def _record(path: Path, said: str) -> SpaceRecord:
    try:
        return SpaceRecord.model_validate(parse_json(said))
    except ValidationError as error:
        problem = first_problem(error)
        raise FileError(path, f"its record: {problem.found}", problem.limit, _RESTORE) from None
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"its record is not JSON ({error})", cure=_RESTORE) from None


def _check_arrays(path: Path, record: SpaceRecord, arrays: dict[str, np.ndarray]) -> None:
    expected = array_shapes(record)
    if arrays.keys() != expected.keys():
        found = f"holds {', '.join(sorted(arrays)) or 'no arrays'}"
        raise FileError(path, found, f"a shape space has {', '.join(sorted(expected))}", _RESTORE)
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float64:
            found = f"{name} is {array.shape} {array.dtype}"
            raise FileError(path, found, f"needed {shape} float64", _RESTORE)
        if not np.isfinite(array).all():
            raise FileError(path, f"{name} has numbers that are not finite", cure=_RESTORE)
        largest = float(np.abs(array).max(initial=0))
        if largest > FARTHEST:
            raise FileError(path, f"{name} has numbers up to {largest:g}", f"at most {FARTHEST:g}", _RESTORE)


def hash_of(data: bytes) -> str:
    """SHA-256 of the bytes of a space."""
    return hashlib.sha256(data).hexdigest()
