"""Where nnU-Net's environment lies, whether it is whole, and what it holds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.errors import FileError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.nnunet_environment import trainer

VARIABLE = "MEDSMITH_NNUNET"
RECORD = "medsmith.json"
INSTALL = "medsmith doctor --install-nnunet"
PLAN, PREPROCESS, TRAIN, PREDICT = (
    f"nnUNetv2_{name}" for name in ("plan_and_preprocess", "preprocess", "train", "predict")
)
_PROGRAMS = (PLAN, PREPROCESS, TRAIN, PREDICT)
_TRAINERS = "nnunetv2/training/nnUNetTrainer"
_SHOWN = ("nnunetv2", "torch")


@final
@dataclass(frozen=True)
class NnunetEnvironment:
    """A Python environment for nnU-Net v2; it need not exist.

    Attributes:
        folder: as ``python -m venv`` makes it.
    """

    folder: Path

    @property
    def begun(self) -> bool:
        """Whether there is an environment, whole or not."""
        return (self.folder / "pyvenv.cfg").exists() or self.recorded

    @property
    def recorded(self) -> bool:
        """Whether medsmith made it."""
        return (self.folder / RECORD).exists()

    @property
    def whole(self) -> bool:
        """Whether nnU-Net's programs are there, and an installation by medsmith came to its end."""
        return all(map(Path.exists, map(self.program, _PROGRAMS))) and (not self.recorded or self._finished())

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.program("python")

    @property
    def trainers(self) -> Path | None:
        """The installed folder in which nnU-Net looks for trainers first; None where nnU-Net is not installed."""
        return next(iter(sorted(self.folder.glob(f"lib/python*/site-packages/{_TRAINERS}"))), None)

    def program(self, name: str) -> Path:
        """A program of the environment."""
        return self.folder / "bin" / name

    def versions(self) -> Mapping[str, str]:
        """Versions of nnU-Net and PyTorch, as the names of their metadata say; nothing is started for it."""
        found = {}
        for name in _SHOWN:
            for path in self.folder.glob(f"lib/python*/site-packages/{name}-*.dist-info"):
                found[name] = path.name.removeprefix(f"{name}-").removesuffix(".dist-info")
        return found

    def _finished(self) -> bool:
        """Whether the record says so, and the trainer is that of this version of medsmith."""
        try:
            done = read_json(self.folder / RECORD).get("complete") is True
        except FileError:
            return False
        path = self.trainers and self.trainers / trainer.FILE
        return done and (path is None or (path.exists() and path.read_text() == trainer.SOURCE))


def nnunet_environment() -> NnunetEnvironment:
    """The environment that ``MEDSMITH_NNUNET`` names, else that in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return NnunetEnvironment(Path(named))
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if Path(cache).is_absolute() else Path("~/.cache").expanduser()
    return NnunetEnvironment(home / "medsmith" / "nnunet")


def require_environment() -> NnunetEnvironment:
    """The environment, if it can be used.

    Raises:
        RequestError: it is missing or half made.
    """
    found = nnunet_environment()
    if not found.whole:
        state = "is half installed" if found.begun else "is not installed"
        raise RequestError("nnU-Net", f"{state} in {found.folder}", f"{VARIABLE} names another folder", INSTALL)
    return found
