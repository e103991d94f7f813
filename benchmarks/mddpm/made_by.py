"""When, where and by which command a result of this folder was made."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch


def facts() -> Mapping[str, str]:
    """Command without this machine's folders, date, machine and versions."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "command": shlex.join(["python", *words]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{(names or [platform.machine()])[0]}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)",
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "scipy")),
    }
