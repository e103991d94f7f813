"""The optional packages behind DICOM, NRRD and MetaImage, and their silence."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from medsmith.errors import FileError

INSTALL = "pip install 'medsmith[dicom]'"
"""The line that installs what this package needs."""


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
        raise FileError(subject, f"is {what}", f"{' and '.join(missing)} are needed to read it", INSTALL)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the packages from printing: their warnings and log lines quote values, and these identify patients."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom", "pylibjpeg")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
