"""When, where and by which command a result was made, to be stored beside it."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PROCESSORS = Path("/proc/cpuinfo")


def facts(arguments: Sequence[str] | None = None) -> Mapping[str, str]:
    """Command, date, machine and versions.

    Args:
        arguments: words of the command after "python"; by default those of this process. Of absolute paths the last
            part is kept, since others do not have this machine's folders.
    """
    import torch  # heavy, and only needed here

    words = [Path(word).name if Path(word).is_absolute() else word for word in arguments or sys.argv]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "monai", "numpy", "scipy"))
    return {
        "command": shlex.join(["python", *words]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s) used",
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def processor() -> str:
    """The processor's name where the system tells it, else its kind."""
    lines = _PROCESSORS.read_text().splitlines() if _PROCESSORS.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
