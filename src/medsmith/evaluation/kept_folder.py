"""Names of folders that keep finished parts of a report."""

import hashlib
import json
from collections.abc import Mapping

_DIGITS = 16


def folder_key(facts: Mapping[str, str]) -> str:
    """Name of the folder of parts that these facts decide: parts of others lie elsewhere."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_DIGITS]
