"""When, where and by which command a result was made."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json


def facts() -> Mapping[str, str]:
    """Command, date, machine and versions, for the file of a result."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "monai", "numpy"))
    return {
        "command": shlex.join(["python", *map(portable, sys.argv)]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s) used",
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def portable(argument: str) -> str:
    """An argument without this machine's folders."""
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def processor() -> str:
    """The processor's name where the system tells it, else its kind."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def claim(folder: Path, weights: str) -> None:
    """Notes whose results a folder keeps; stops where they are of other weights."""
    path = folder / "weights.json"
    if path.exists() and read_json(path)["sha256"] != weights:
        raise SystemExit(f"{folder} keeps results of other weights: choose another folder, or delete it")
    write_json(path, {"sha256": weights})
