"""nnU-Net v2 installed into a Python environment of its own, so that its packages never meet those of medsmith."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from medsmith.errors import MedsmithError, RequestError
from medsmith.formats.atomic import remove, visible_names, write_bytes, write_json
from medsmith.formats.lock import hold_folder
from medsmith.nnunet_environment import trainer
from medsmith.nnunet_environment.environment import INSTALL, RECORD, NnunetEnvironment
from medsmith.nnunet_environment.programs import run_program
from medsmith.progress import Advance, NullProgress, Progress

PACKAGES = ("torch==2.13.0", "nnunetv2==2.8.1", "setuptools")
"""setuptools has distutils, which nnU-Net imports and Python 3.12 lacks."""
LOG = "install.log"
_SHOWN = 60
_OF_VENV = ("bin", "include", "lib", "lib64", "pyvenv.cfg")
_CHECK = "import nnunetv2.training.nnUNetTrainer.nnUNetTrainer, nnunetv2.inference.predict_from_raw_data"
_CAUSES = (
    (("No space left on device", "Disk quota exceeded"), "the disk is full", "free some 8 GB or name another folder"),
    (("ensurepip is not", "No module named venv"), "Python's module venv is not whole", "install it (python3-venv)"),
    (
        ("name resolution", "Network is unreachable", "NewConnectionError", "Connection refused", "timed out",
         "No matching distribution"),
        "the packages cannot be fetched",
        "check network and proxy, and run it again",
    ),
)  # fmt: skip
"""Words of a log, the fact they tell, the cure; the first that fits is said."""


def install(folder: Path, progress: Progress | None = None) -> NnunetEnvironment:
    """Makes the environment, or completes one that an earlier call began; one that is whole stays as it is.

    Args:
        folder: of the environment.
        progress: of the steps, with the lines of pip.

    Raises:
        RequestError: the folder holds something else, or a step fails.
        FileError: the folder cannot be made.
    """
    environment, progress = NnunetEnvironment(folder.absolute()), progress or NullProgress()
    folder = environment.folder
    if environment.whole:
        return environment
    if not environment.recorded and folder.exists() and visible_names(folder):
        raise RequestError(folder, "exists and is no environment of medsmith", cure="name another folder with --at")
    busy = RequestError(folder, "another process installs here", "one at a time", "wait for it")
    with hold_folder(folder, busy), progress.task("install nnU-Net", 3) as advance:
        _record(folder, complete=False)
        _make(environment, advance)
        advance(1, "pip")
        pip = (environment.python, "-m", "pip", "install", "--disable-pip-version-check")
        _step(environment, [*pip, *PACKAGES], advance)
        advance(1, "check")
        _step(environment, [environment.python, "-c", _CHECK], advance)
        if environment.trainers is not None:
            write_bytes(environment.trainers / trainer.FILE, trainer.SOURCE.encode())
        _record(folder, complete=True)
        advance(1, "")
    return environment


def _record(folder: Path, *, complete: bool) -> None:
    write_json(folder / RECORD, {"packages": list(PACKAGES), "complete": complete})


def _make(environment: NnunetEnvironment, advance: Advance) -> None:
    """The environment with pip; what an interrupted call left without a working pip is made anew."""
    if environment.python.exists():
        code, _ = run_program([environment.python, "-m", "pip", "--version"], environment.folder / LOG, {})
        if code == 0:
            return
        _remove_venv(environment.folder)
    _step(environment, [sys.executable, "-m", "venv", environment.folder], advance)


def _remove_venv(folder: Path) -> None:
    """Removes what venv has made; its option --clear would remove lock, record and log too."""
    for path in (folder / name for name in _OF_VENV):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)


def _step(environment: NnunetEnvironment, words: Sequence[str | Path], advance: Advance) -> None:
    log = environment.folder / LOG

    def watch(line: str) -> None:
        if line[:1].isalpha():  # the others are bars and details
            advance(0, line[:_SHOWN])

    code, lines = run_program(words, log, {}, watch)
    if code:
        raise _failure(environment, code, lines)


def _failure(environment: NnunetEnvironment, code: int, lines: Sequence[str]) -> MedsmithError:
    text = "\n".join(lines)
    again = f"then {INSTALL} continues"
    for words, fact, cure in _CAUSES:
        if any(word in text for word in words):
            return RequestError("nnU-Net", f"cannot be installed in {environment.folder}: {fact}", cure, again)
    said = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "nothing")
    found = f"cannot be installed in {environment.folder}: a step ended with code {code}"
    log = environment.folder / LOG
    return RequestError("nnU-Net", found, f"it said: {said}", f"see {log}; delete the folder to begin anew")
