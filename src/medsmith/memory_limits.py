"""Memory that this process may take: of the machine, and of the control groups that a container or a job sets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_MACHINE = Path("/proc/meminfo")
_MINE = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_UNLIMITED: Final = 2**60
"""Version 1 writes the largest multiple of a page that 63 bits hold where a group has no limit."""


class Memory(NamedTuple):
    """Bytes.

    Attributes:
        total: most that may be in use.
        available: what can still be taken without swapping.
    """

    total: int
    available: int


def memory() -> Memory | None:
    """The least that the machine and the control groups of this process leave; None where the system does not tell."""
    found = [*_of_machine(), *_of_groups()]
    if not found:
        return None
    return Memory(min(each.total for each in found), max(0, min(each.available for each in found)))


def available_memory() -> int | None:
    """Bytes of memory that this process can still take without swapping; None where the system does not tell."""
    found = memory()
    return None if found is None else found.available


def _of_machine() -> Iterator[Memory]:
    lines = dict(line.split(":", 1) for line in _text(_MACHINE).splitlines() if ":" in line)
    if "MemTotal" in lines and "MemAvailable" in lines:
        total, available = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        yield Memory(total, available)


def _of_groups() -> Iterator[Memory]:
    """Limits of the group of this process and of those that hold it."""
    for line in _text(_MINE).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            yield from _limits(_GROUPS, name, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _limits(_GROUPS / "memory", name, *names)


def _limits(root: Path, name: str, limit: str, used: str, inactive: str) -> Iterator[Memory]:
    inner = root / name.lstrip("/")
    # Inside a container the name may be that of the host, whose folders are not there; the root is then its own group.
    for folder in (inner, *(parent for parent in inner.parents if parent.is_relative_to(root))):
        most, taken = _number(folder / limit), _number(folder / used)
        if most is None or taken is None or most >= _UNLIMITED:
            continue
        # Pages of files that were not read lately are dropped before memory runs out.
        kept = dict(line.split(maxsplit=1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
        yield Memory(most, most - taken + int(kept.get(inactive, 0)))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None  # "max": no limit


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
