"""When, where and by which command a result was made, to be stored beside it; and what PyTorch was built for."""

import ast
import importlib.util
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

_PROCESSORS = Path("/proc/cpuinfo")


def facts(arguments: Sequence[str] | None = None) -> Mapping[str, str]:
    """Command, date, machine and versions.

    Args:
        arguments: words of the command after "python"; by default those of this process. Of absolute paths the last
            part is kept, since others do not have this machine's folders.
    """
    import torch  # heavy, and only needed here

    words = [_shared_name(Path(word)) if Path(word).is_absolute() else word for word in arguments or sys.argv]
    return {
        "command": shlex.join(_as_typed(words)),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s) used",
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "versions": versions(),
    }


def _shared_name(path: Path) -> str:
    """The last part of a path; ``python -m medsmith`` has the path of a module."""
    return path.parent.name if path.name == "__main__.py" else path.name


def _as_typed(words: Sequence[str]) -> list[str]:
    return list(words) if words[0] == "medsmith" else ["python", *words]


def versions() -> str:
    """Versions of Python and of the libraries that decide a result; nothing is imported for it."""
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "monai", "numpy", "scipy"))
    return f"Python {platform.python_version()}, {libraries}"


def usable_cores() -> int:
    """Number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usual_device() -> Literal["cpu", "cuda"]:
    """Where networks compute unless a device is named: ``cuda`` if PyTorch sees a GPU, else ``cpu``."""
    if torch_without_gpu():
        return "cpu"
    import torch  # takes seconds

    return "cuda" if torch.cuda.is_available() else "cpu"


def torch_without_gpu() -> bool:
    """Whether the installed PyTorch was certainly built without CUDA and ROCm.

    Its ``version.py`` is read, not imported: the package takes seconds to load. False where the file says nothing.
    """
    found = importlib.util.find_spec("torch")
    file = None if found is None or found.origin is None else Path(found.origin).with_name("version.py")
    if file is None or not file.is_file():
        return False
    values = _constants(file.read_text())
    return "cuda" in values and values["cuda"] is None and values.get("hip") is None


def _constants(source: str) -> dict[str, object]:
    """The constants that the lines of a module assign, annotated or not."""
    constants: dict[str, object] = {}
    for line in ast.parse(source).body:
        targets = (
            line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        )
        value = line.value if isinstance(line, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Constant):
            constants |= {target.id: value.value for target in targets if isinstance(target, ast.Name)}
    return constants


def processor() -> str:
    """The processor's name where the system tells it, else its kind."""
    lines = _PROCESSORS.read_text().splitlines() if _PROCESSORS.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def install_line(extra: str) -> str:
    """The line that installs an extra of this package, in its checkout."""
    return f"pip install -e '.[{extra}]' -c constraints.txt"
