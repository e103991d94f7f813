"""The hash of what is written, taken while it is written."""

import hashlib
from typing import IO, Any, final


@final
class HashingWriter:
    """Passes bytes on to a file.

    Args:
        file: receives them; None takes the hash alone.

    Attributes:
        count: number of bytes so far.
    """

    def __init__(self, file: IO[bytes] | Any | None = None) -> None:
        self._file, self._digest, self.count = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Writes some bytes."""
        if self._file is not None:
            self._file.write(data)
        self._digest.update(data)
        self.count += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """Of all bytes so far, in hexadecimal."""
        return self._digest.hexdigest()
