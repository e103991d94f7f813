"""What the networks of the utility experiment will take, said before the first one and after its first steps."""

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import final

import torch

from medsmith.errors import counted
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.machine import usual_device
from medsmith.progress import Advance, clock_after, two_digits

_LONG = 20 * 60
"""Seconds from which on the options that shorten the training are named."""
_HOURS = 2 * 60 * 60
"""Seconds from which on the duration is told in hours."""
_SHORTER = (
    "fewer --subsets, --seeds, --share or sizes of --cases train fewer networks, --steps each for less, and a smaller "
    "--size (evaluate --all: --network-size) makes a step faster"
)


def networks_line(networks: int, steps: int, config: SegmenterConfig) -> str:
    """What will be trained, and where; how long it takes is said by ``steps_line``, from steps that were measured.

    Args:
        networks: that have no result yet.
        steps: of them all.
        config: of the networks.
    """
    device, count = usual_device(), torch.get_num_threads()
    threads = f" ({counted(count, 'thread')})" if device == "cpu" else ""
    what = f"{counted(networks, 'network')} ({config.architecture}), {steps:,} steps in all"
    later = "its first steps show how long; the same command continues after an interruption"
    return f"utility: trains {what}, on {device}{threads}; {later}"


def steps_line(steps: int, seconds: float, now: datetime) -> str:
    """How long the training will take.

    Args:
        steps: that are left.
        seconds: that a step takes.
        now: local time.
    """
    left = steps * seconds
    duration = "less than 1 min" if left < 60 else f"about {left / 60:.0f} min"
    if left >= _HOURS:
        duration = f"about {left / 3600:,.0f} h"
    shorter = f"; {_SHORTER}" if left >= _LONG else ""
    end = f"until {clock_after(left, now)}, and the time of the tests"
    return f"utility: {steps:,} steps of {two_digits(seconds)} s: {duration}, {end}{shorter}"


@final
class TimedAdvance:
    """Advances a task and says once, after the first steps, how long all steps will take.

    The steps up to the first call warm up and are not counted.

    Args:
        advance: of the task.
        steps: that are to be made.
        report: receives the line.
    """

    def __init__(self, advance: Advance, steps: int, report: Callable[[str], None]) -> None:
        self._advance, self._left, self._report = advance, steps, report
        self._warm: float | None = None
        self._said = False

    def __call__(self, steps: int, note: str) -> None:
        """So many more steps are done."""
        self._left -= steps
        now = monotonic()
        if self._warm is not None and not self._said and self._left:
            self._report(steps_line(self._left, (now - self._warm) / steps, datetime.now().astimezone()))
            self._said = True
        self._warm = now if self._warm is None else self._warm
        self._advance(steps, note)
