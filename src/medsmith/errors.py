"""The error family. The command line prints an error as one line and exits with its code: 2, or 130 if interrupted.

MedsmithError
├── FileError          a file or folder is not what it should be, or cannot be read or written
├── GeometryError      image and label, or header and patient, do not fit together
├── ContentError       voxel or label values that cannot be right
├── CohortError        a folder of cases breaks a rule of the cohort format
├── RequestError       a request that cannot be fulfilled
├── RunError           a run folder, a checkpoint or shipped weights cannot be used
├── TrainingError      training had to stop (for example, a loss that is not finite)
├── SynthesisError     cases could not be synthesized or regenerated
├── MethodError        a method from elsewhere (a file, another package) raised an exception
└── InterruptionError  a signal came; what was finished is saved (exit code 130)
"""

import difflib
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, final

_NO_MEMORY = ("allocate memory", "bad_alloc")
"""Of PyTorch's allocators on the CPU, and of C++."""


def printable(text: str) -> str:
    """A text on a single line whose control characters, and bytes that are no UTF-8, are escaped.

    Names of files may hold both; a terminal obeys the former and no output takes the latter.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, what: str) -> str:
    """A number of things, in the plural unless it is one: ``1 case``, ``2 cases``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def similar(asked: str, known: Iterable[str], otherwise: str = "") -> str:
    """The cure for a name that is not among those known: the most similar one, or else another cure.

    Args:
        asked: the name.
        known: names to choose from.
        otherwise: the cure where none is similar.
    """
    plain = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(asked.casefold(), plain, n=1)
    return f"did you mean '{plain[near[0]]}'?" if near else otherwise


class MedsmithError(Exception):
    """One line that names the file, the fact found, the limit and the cure.

    Args:
        subject: what the line is about, most often a path.
        found: the fact found.
        limit: the rule or number that the fact breaks.
        cure: what the user can do.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, subject: object, found: str, limit: str = "", cure: str = "") -> None:
        self.subject, self.found, self.limit, self.cure = str(subject), found, limit, cure
        super().__init__(self.line)

    def __reduce__(self) -> tuple[type["MedsmithError"], tuple[str, str, str, str], dict[str, Any]]:
        """Pickles all four parts, and notes; the default would keep the line alone."""
        return type(self), (self.subject, self.found, self.limit, self.cure), vars(self)

    @property
    def line(self) -> str:
        """The message on a single line, control characters escaped."""
        return printable(f"{self.subject}: " + "; ".join(filter(None, (self.found, self.limit, self.cure))))

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show: the caller's line and the message; the frames within medsmith say no more."""
        frames = traceback.extract_tb(self.__traceback__)
        own = Path(__file__).parent
        first = next((index for index, frame in enumerate(frames) if own in Path(frame.filename).parents), len(frames))
        called = [f"line {frame.lineno}: {frame.line}" for frame in frames[max(first - 1, 0) : first]]
        return [*called, *getattr(self, "__notes__", ()), f"{type(self).__name__}: {self.line}"]


@final
class FileError(MedsmithError):
    """A file or folder is not what it should be, or cannot be read or written."""


@final
class GeometryError(MedsmithError):
    """Image and label, or header and patient, do not fit together."""


@final
class ContentError(MedsmithError):
    """Voxel or label values that cannot be right."""


@final
class CohortError(MedsmithError):
    """A folder of cases breaks a rule of the cohort format."""


@final
class RequestError(MedsmithError):
    """A request that cannot be fulfilled."""


@final
class RunError(MedsmithError):
    """A run folder, a checkpoint or shipped weights cannot be used."""


@final
class TrainingError(MedsmithError):
    """Training had to stop."""


@final
class SynthesisError(MedsmithError):
    """Cases could not be synthesized or regenerated."""


@final
class MethodError(MedsmithError):
    """A method from elsewhere raised an exception; its traceback is the error's note."""


@final
class InterruptionError(MedsmithError):
    """A signal came; what was finished is saved, and the same call continues."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or PyTorch (told without its import) got no memory from the machine or its GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def error_to_json(error: MedsmithError) -> dict[str, Any]:
    """An error as JSON values, so that it can be raised again in another process."""
    parts = {"subject": error.subject, "found": error.found, "limit": error.limit, "cure": error.cure}
    return {"kind": type(error).__name__, **parts, "notes": list(getattr(error, "__notes__", ()))}


def error_from_json(value: Mapping[str, Any]) -> MedsmithError:
    """Inverse of ``error_to_json``."""
    family = {kind.__name__: kind for kind in MedsmithError.__subclasses__()}
    kind = family.get(value["kind"], SynthesisError)
    error = kind(value["subject"], value["found"], value["limit"], value["cure"])
    for note in value["notes"]:
        error.add_note(note)
    return error
