"""Finished parts of a report, one JSON file each, beside the SHA-256 of what was written: damage is noticed."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import parse_json
from medsmith.formats.opening import open_regular

DIGEST = "sha256"
"""Key of the SHA-256 of the other values."""
_log = logging.getLogger("medsmith")


def keep_part(path: Path, part: Mapping[str, Any]) -> None:
    """Writes a part.

    Args:
        path: of its file.
        part: values of JSON's kinds, none of them by the name ``sha256``.

    Raises:
        FileError: it cannot be written.
    """
    write_json(path, {**part, DIGEST: _digest(part)})


def kept_part(path: Path) -> Mapping[str, Any] | None:
    """The part that ``keep_part`` wrote; None where there is none, or, with a warning, another content.

    Raises:
        FileError: it cannot be read.
    """
    if not path.exists():
        return None
    with open_regular(path) as file:
        data = file.read()
    try:
        part = parse_json(data.decode())
        if part.pop(DIGEST) == _digest(part):
            return dict(part)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        pass
    warn_damaged(path)
    return None


def warn_damaged(path: Path) -> None:
    """Says that a kept file is not used."""
    _log.warning("%s: is damaged, or not what this version writes, and is made anew", path)


def _digest(part: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()
