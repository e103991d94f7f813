"""What all processes of a training must agree on, or some would wait for the others."""

from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor

from medsmith.errors import RunError, error_from_json, error_to_json
from medsmith.runs.folder import Checkpoint, StageCheckpoints
from medsmith.training.shared_folder import not_shared, seen_in_time


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether the flag is set in any process: all must stop together, or the others would wait."""
    if fabric.world_size == 1:
        return flag
    most = fabric.all_reduce(torch.tensor(float(flag), device=fabric.device), reduce_op="max")
    return bool(torch.as_tensor(most) > 0)


def newest_of_the_first(
    fabric: Fabric, checkpoints: StageCheckpoints, folder: Path
) -> tuple[dict[str, Tensor], Checkpoint] | None:
    """The newest checkpoint that the first process finds, in every process; None before the first checkpoint.

    The others wait until they see its file, which may take a while on a file system of several machines.

    Args:
        fabric: the engine.
        checkpoints: of the stage.
        folder: the run folder.

    Raises:
        RunError: all are damaged, or a process on another machine does not see that of the first.
    """
    if fabric.world_size == 1:
        return checkpoints.newest()
    found, error = None, None
    if fabric.is_global_zero:
        try:
            found = checkpoints.newest()
        except RunError as raised:
            error = error_to_json(raised)
    told, error = fabric.broadcast((found[1].model_dump() if found else None, error))
    if error:
        raise error_from_json(error)
    if told is None:
        return None
    checkpoint, tensors = Checkpoint.model_validate(told), found[0] if found else None

    def seen() -> bool:
        nonlocal tensors
        tensors = checkpoints.read(checkpoint) if tensors is None else tensors
        return tensors is not None

    if any_process(fabric, not seen_in_time(seen)) or tensors is None:
        raise not_shared(folder / checkpoint.file, folder)
    return tensors, checkpoint
