"""What a training will take, said before it starts and after the first steps of every stage."""

import resource
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import torch

from medsmith.methods.base import Method
from medsmith.progress import clock_after, two_digits
from medsmith.training.budget import Budget

AFTER: Final = 3
"""Steps after which a stage's duration is told; the first one, which warms up, is not counted."""
LONG = timedelta(hours=12)
"""A stage that takes longer on a CPU is told with what to do about it."""
_CURE = "; --max-minutes ends earlier, medsmith plan finds settings that fit this machine"


def start_line(method: Method, preset: str, device: str, budget: Budget) -> str:
    """What will be trained, and where.

    Args:
        method: that is trained.
        preset: on which its settings are based.
        device: type of the device.
        budget: of the call.
    """
    wanted = [stage for stage in method.stages() if budget.stage in (None, stage.name)]
    counts = ", ".join(
        f"{stage.name} {budget.steps or method.training_of(stage).steps:,}" for stage in wanted if stage.parts
    )
    rest = ", ".join(stage.name for stage in wanted if not stage.parts)
    stages = "; ".join([f"steps: {counts}"] * bool(counts) + [f"without steps: {rest}"] * bool(rest))
    minutes = budget.minutes if budget.elapsed_minutes is None else budget.elapsed_minutes
    limit = "" if minutes is None else f", at most {minutes:g} minute{'s' * (minutes != 1)} in all"
    count = torch.get_num_threads()
    threads = f" ({count} thread{'s' * (count > 1)})" if device == "cpu" else ""
    return f"{method.name}, preset {preset}, on {device}{threads}; {stages}{limit}"


def stage_line(name: str, steps: int, seconds: float, allowed: float, device: str, now: datetime) -> str:
    """How long a stage will take.

    Args:
        name: of the stage.
        steps: that are left.
        seconds: that a step takes.
        allowed: seconds that are left to the stage.
        device: type of the device.
        now: local time.
    """
    planned, limit = steps * seconds, min(allowed, steps * seconds)
    clock = clock_after(limit, now)
    ended = ""
    if allowed < planned:
        ended = f", of which the limit of time allows about {max(round(allowed / seconds), 1):,}"
    line = f"{name}: {steps:,} steps of {two_digits(seconds)} s{ended}: until {clock}, {memory_gib():.1f} GiB"
    return line + (_CURE if device == "cpu" and timedelta(seconds=limit) > LONG else "")


def memory_gib() -> float:
    """The most that this process has held so far, on the GPU if it has one."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_reserved() / 2**30)
    status = Path("/proc/self/status")
    if status.exists():  # the figure of getrusage would count what the process had held that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
