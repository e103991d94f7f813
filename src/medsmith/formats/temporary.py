"""A folder for a trial, of which no message speaks: it is gone when the message is read."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medsmith.errors import FileError, MedsmithError


@contextmanager
def temporary_folder(prefix: str, given: str) -> Iterator[Path]:
    """A context with a new folder, which is removed at its end.

    Args:
        prefix: of its name.
        given: what the user gave; errors about the folder are about it. What a disk refuses is about the place of
            temporary files, which the user may choose by TMPDIR.
    """
    with tempfile.TemporaryDirectory(prefix=prefix) as place:
        try:
            yield Path(place)
        except MedsmithError as error:
            if place not in error.line:
                raise
            said = f"temporary files in {Path(place).parent}" if isinstance(error, FileError) else given
            raise _about(error, place, said) from error


def _about(error: MedsmithError, place: str, said: str) -> MedsmithError:
    """The same error with other words for what lies in a folder."""
    path = re.compile(re.escape(place) + r"(/[\w.\-]+)*")
    parts = (path.sub(lambda _: said, part) for part in (error.subject, error.found, error.limit, error.cure))
    changed = type(error)(*parts)
    for note in getattr(error, "__notes__", ()):
        changed.add_note(note)
    return changed
