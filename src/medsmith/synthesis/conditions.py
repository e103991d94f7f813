"""How cases are made, apart from what is asked for."""

from dataclasses import dataclass, field
from typing import final

from medsmith.synthesis.checks.verdict import Limits
from medsmith.synthesis.executors.base import Patience, StartExecutor
from medsmith.synthesis.executors.processes import ProcessExecutor
from medsmith.synthesis.tasks import LOADER


@final
@dataclass(frozen=True)
class Conditions:
    """How the work is done; nothing here changes a byte but the kind of the devices and the limits.

    Attributes:
        devices: where the networks live, all of one kind; workers are spread over them in turn.
        limits: of the checks.
        patience: when a worker counts as hung.
        loader: ``module:function`` that loads the run.
        executor: starts what makes the cases; by default worker processes on this machine.
    """

    devices: tuple[str, ...] = ("cpu",)
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    loader: str = LOADER
    executor: StartExecutor = ProcessExecutor
