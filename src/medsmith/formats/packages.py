"""The optional packages behind DICOM, NRRD and MetaImage, and their silence."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from medsmith.errors import FileError
from medsmith.machine import install_line

INSTALL = install_line("dicom")
"""The line that installs what this package needs."""
_STDERR: Final = 2


def require_dicom(subject: object) -> None:
    """Checks that pydicom and highdicom are installed.

    Raises:
        FileError: one is not.
    """
    _require(subject, "DICOM", ("pydicom", "highdicom"))


def require_simpleitk(subject: object) -> None:
    """Checks that SimpleITK is installed.

    Raises:
        FileError: it is not.
    """
    _require(subject, "NRRD or MetaImage", ("SimpleITK",))


def _require(subject: object, what: str, names: tuple[str, ...]) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise FileError(subject, f"is {what}", f"reading it takes {' and '.join(missing)}", INSTALL)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the packages from printing: their warnings and log lines quote values, and these identify patients."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps libraries in C from printing to standard error, as GDCM does for every JPEG that is not of 8 bits."""
    before, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDERR)
        yield
    finally:
        os.dup2(before, _STDERR)
        os.close(before)
        os.close(nowhere)
