"""What coordinator and worker say to each other: one JSON object per line, nothing pickled.

coordinator -> worker   {"request": ..., "device": ...}, then {"out": ..., "task": ...} for each case
worker -> coordinator   {"is": "ready", "settled": ...}               the run is loaded
{"is": "alive"}                               every second
{"is": "drawing", "attempt": n}               before each draw of a case
{"is": "made"}                                the case is on disk
{"is": "refused", "refused": {...}}           every draw failed a check
{"is": "broken", "trace": ...}                making the case raised what no user can cause
{"is": "stop", "error": ...}                  a user's mistake: no case can be made
"""

import json
from collections.abc import Mapping
from typing import Any

from medsmith import errors
from medsmith.errors import MedsmithError

Message = Mapping[str, Any]


def encoded(message: Message) -> bytes:
    """A message as one line."""
    return json.dumps(message).encode() + b"\n"


def error_to_json(error: MedsmithError) -> dict[str, str]:
    """An error of the family, so that it crosses process borders as what it is."""
    parts = {"subject": error.subject, "found": error.found, "limit": error.limit, "cure": error.cure}
    return {"kind": type(error).__name__} | parts


def error_from_json(value: Mapping[str, str]) -> MedsmithError:
    """The other way round."""
    family = {kind.__name__: kind for kind in MedsmithError.__subclasses__()}
    kind = family.get(value["kind"], errors.SynthesisError)
    return kind(value["subject"], value["found"], value["limit"], value["cure"])
