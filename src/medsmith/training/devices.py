"""The processes of a training: as many as this machine has GPUs for, and as a batch divides over."""

import torch

from medsmith.errors import RequestError
from medsmith.methods.base import Method

_MOST_DEVICES = 1024


def check_count(devices: int, accelerator: str) -> None:
    """Checks a number of devices before any case is read.

    Args:
        devices: number of processes.
        accelerator: cuda or cpu.

    Raises:
        RequestError: it is below 1 or above the most, or this machine has fewer GPUs.
    """
    if not 1 <= devices <= _MOST_DEVICES:
        limit = f"at least 1 process and at most {_MOST_DEVICES} processes"
        raise RequestError("devices", f"{devices}", limit, "choose another number of devices")
    if accelerator == "cuda" and devices > (gpus := torch.cuda.device_count()):
        raise RequestError("devices", f"{devices}", f"this machine has {gpus} for one process each", "choose fewer")


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
