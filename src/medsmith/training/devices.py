"""The processes of a training: as many as this machine has GPUs for, and as a batch divides over."""

import logging
from datetime import timedelta
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.strategies import DDPStrategy

from medsmith.errors import RequestError
from medsmith.methods.base import Method
from medsmith.started_processes import StartedProcesses, started_processes

_MOST_DEVICES = 1024
_PATIENCE = timedelta(days=7)
"""For a process that encodes, draws or writes while the others wait; one that is killed ends them all the same."""


def device_count(devices: int | None, accelerator: str) -> int:
    """Number of processes, checked before any case is read.

    Args:
        devices: that are asked for; None takes those that were started together, or one.
        accelerator: cuda or cpu.

    Raises:
        RequestError: it is below 1 or above the most, not the number of the processes that were started, or this
            machine has fewer GPUs.
    """
    started = started_processes()
    count = devices if devices is not None else started.count if started else 1
    if started and count != started.count:
        found = f"{count}, and {started.starter} started {started.count} processes"
        raise RequestError("devices", found, "each process has one device", "leave --devices out")
    if not 1 <= count <= _MOST_DEVICES:
        limit = f"at least 1 process and at most {_MOST_DEVICES} processes"
        raise RequestError("devices", f"{count}", limit, "choose another number of devices")
    here = started.on_this_node if started else count
    if accelerator == "cuda" and here > (gpus := torch.cuda.device_count()):
        raise RequestError("devices", f"{here}", f"this machine has {gpus} for one process each", "choose fewer")
    return count


def engine(method: Method, accelerator: str, devices: int, started: StartedProcesses | None) -> Fabric:
    """The engine (Lightning Fabric) of so many processes.

    Args:
        method: that is trained.
        accelerator: cuda or cpu.
        devices: number of processes.
        started: those that were started together; where there are none, the engine starts them.
    """
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # each process would say that it is there
    here, nodes = (started.on_this_node, started.nodes) if started else (devices, 1)
    return Fabric(
        accelerator=accelerator,
        devices=here,
        num_nodes=nodes,
        strategy=_parallel_strategy(method, "popen" if started else "spawn") if devices > 1 else "auto",
        # Named, lest the engine takes a job of SLURM, of which this is the only process, for several.
        plugins=[started.environment if started else LightningEnvironment()],
        precision="32-true",
    )


def _parallel_strategy(method: Method, start_method: Literal["popen", "spawn"]) -> DDPStrategy:
    """One process per device. With several parts in a stage, the loss of one leaves the others without gradient."""
    several = any(len(stage.parts) > 1 for stage in method.stages())
    return DDPStrategy(start_method=start_method, find_unused_parameters=several, timeout=_PATIENCE)


def check_batches(devices: int, method: Method) -> None:
    """Checks that every batch divides evenly over devices, so that means over devices are means over cases.

    Raises:
        RequestError: a batch does not.
    """
    if devices == 1:
        return
    for stage in method.stages():
        training = method.training_of(stage)
        parts = training.accumulate
        if stage.parts and training.batch % (devices * parts):
            found = f"training.batch = {training.batch} is no multiple of {devices} devices"
            found += f" with {parts} parts each" if parts > 1 else ""
            raise RequestError("devices", found, cure="choose another number of devices")
