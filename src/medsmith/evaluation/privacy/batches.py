"""The search for matches in batches, each of which may be kept on disk."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from medsmith.data.copies import Found, Match, Searchable, find_matches
from medsmith.evaluation.kept_parts import keep_part, kept_part
from medsmith.progress import Advance

BATCH = 16
Json = Mapping[str, Any]
Keep = Callable[[str, Callable[[], Json]], Json]
"""Called with the name of a part and the function that computes it; returns the part."""


def compute(_name: str, make: Callable[[], Json]) -> Json:
    """Computes every part and keeps none."""
    return make()


@final
class KeptParts:
    """Parts in a folder, one JSON file each: an interrupted run continues after the last one, and repairs damaged ones.

    Args:
        folder: of the files, which no other inputs or settings may share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, make: Callable[[], Json]) -> Json:
        """The part of that name.

        Raises:
            FileError: it cannot be read or written.
        """
        path = self._folder / f"{name}.json"
        part = kept_part(path)
        if part is None:
            part = make()
            keep_part(path, part)
        return part


def find_in_batches(
    name: str,
    queries: Searchable,
    gallery: Searchable,
    keep: Keep,
    advance: Advance,
    own: Sequence[int] | None = None,
) -> Found:
    """``find_matches`` of ``BATCH`` queries at a time, which bounds the memory.

    Args:
        name: of the search.
        queries: at least one.
        gallery: at least one.
        keep: keeps the result of each batch.
        advance: called after every batch with its number of queries.
        own: see ``find_matches``.
    """
    matches: list[Match] = []
    reached = np.full(len(gallery), -1, np.float32)
    for start in range(0, len(queries), BATCH):
        rows = range(start, min(start + BATCH, len(queries)))

        def make(rows: range = rows) -> Json:
            found = find_matches(queries.take(rows), gallery, own[rows.start : rows.stop] if own else None)
            return {"matches": [match.as_json() for match in found.matches], "reached": found.reached.tolist()}

        part = keep(f"{name}-{start:06d}", make)
        matches += [Match.from_json(values) for values in part["matches"]]
        reached = np.maximum(reached, np.asarray(part["reached"], np.float32))
        advance(len(rows), "")
    return Found(tuple(matches), reached)
