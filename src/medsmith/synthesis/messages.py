"""Messages between coordinator and worker: one JSON object per line, nothing pickled.

coordinator -> worker   {"request": ..., "device": ...}, then {"out": ..., "task": ...} for each case
worker -> coordinator   {"type": "ready", "resolved": ...}               the run is loaded
{"type": "alive"}                               every second
{"type": "stop", "error": ...}                  a user error: no case can be made
{"type": "unusable", "trace": ...}              loading the run raised an unexpected exception

of the case with the number "index":
{"type": "attempt", "attempt": n}               before each attempt at it
{"type": "rejected", "checks": [...]}           the checks that refused the attempt
{"type": "made"}                                it is on disk
{"type": "refused", "refused": {...}, "missed": {...}}  every attempt failed a check
{"type": "broken", "trace": ...}                synthesis raised an unexpected exception
"""

import json
from collections.abc import Mapping
from typing import Any

Message = Mapping[str, Any]


def encoded(message: Message) -> bytes:
    """Encode a message as one line."""
    return json.dumps(message).encode() + b"\n"
