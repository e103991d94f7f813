"""Device names: "cpu", "cuda", "cuda:1". The bytes of a case depend on the kind of device, not on its index."""

import re
from collections.abc import Sequence

from medsmith.errors import RequestError
from medsmith.machine import torch_without_gpu

_NAME = re.compile(r"cpu|cuda(:\d+)?")


def kind_of(device: str) -> str:
    """The kind of a device: "cuda" of "cuda:1"."""
    return device.partition(":")[0]


def check_names(devices: Sequence[str]) -> None:
    """Check device names before any process is started.

    Raises:
        RequestError: no device, an unknown name, or devices of several kinds.
    """
    if not devices:
        raise RequestError("device", "none is named", "at least one")
    for device in devices:
        if not _NAME.fullmatch(device):
            raise RequestError("device", f"'{device}' is not known", "cpu, cuda, or cuda:INDEX")
    kinds = sorted({kind_of(device) for device in devices})
    if len(kinds) > 1:
        raise RequestError("device", f"{' and '.join(kinds)} together", "bytes depend on the kind", "choose one kind")


def check_built(devices: Sequence[str]) -> None:
    """Check device names, and that PyTorch was built for them; it is not imported, which takes seconds.

    Raises:
        RequestError: as ``check_names``, or a GPU where PyTorch was built for the CPU alone.
    """
    check_names(devices)
    if kind_of(devices[0]) != "cpu" and torch_without_gpu():
        cause = "this PyTorch is built for the CPU alone"
        raise RequestError("device", f"'{devices[0]}' is not here", "there is cpu", cause)


def check_present(devices: Sequence[str]) -> None:
    """Check that this machine has the devices, before a run is loaded. Imports torch.

    Raises:
        RequestError: as ``check_names``, or a GPU is missing.
    """
    import torch

    check_names(devices)
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    for device in devices:
        if device not in ("cpu", *gpus, *["cuda"] * bool(gpus)):
            raise RequestError("device", f"'{device}' is not here", f"there is {', '.join(('cpu', *gpus))}")
