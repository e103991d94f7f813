"""Reports and provenances that are JSON, but not what medsmith writes: refused in one line that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from medsmith.errors import FileError


@contextmanager
def refusing_damaged(record: object) -> Iterator[None]:
    """Inside, errors of values that are absent or of another kind are those of a damaged record.

    Args:
        record: path of the report or provenance that is looked at.

    Raises:
        FileError: such an error.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
        raise FileError(record, "is damaged", "it holds what medsmith does not write", "restore or remove it") from None
