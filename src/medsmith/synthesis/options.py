"""Options of a synthesis run that are not part of the request."""

from dataclasses import dataclass, field
from typing import final

from medsmith.machine import usual_device
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.executors.base import StartExecutor, Timeouts
from medsmith.synthesis.executors.processes import ProcessExecutor
from medsmith.synthesis.shards import Shard
from medsmith.synthesis.tasks import LOADER


@final
@dataclass(frozen=True)
class SynthesisOptions:
    """Devices, limits, timeouts and executor; kind of device, limits and batch alone affect the bytes of the cases.

    Attributes:
        devices: devices of the networks, all of one kind; workers are distributed over them round-robin. By default a
            GPU if PyTorch sees one, as in training.
        limits: tolerances of the checks.
        timeouts: after which a worker counts as hung.
        loader: ``module:function`` that loads the run.
        executor: creates the executor; by default worker processes on this machine.
        shard: the part of the cases to make; None makes all.
        batch: cases of a worker whose network passes are joined, each in a row of its own: meant for GPUs, with the
            memory of as many workers for activations.
        shard_cases: cases of a tar shard (``synthesize_shards``), at most 1,000.
    """

    devices: tuple[str, ...] = field(default_factory=lambda: (usual_device(),))
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    loader: str = LOADER
    executor: StartExecutor = ProcessExecutor
    shard: Shard | None = None
    batch: int = 1
    shard_cases: int = 100
