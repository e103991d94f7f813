"""A run that starts from the weights of another run instead of random ones (fine-tuning).

The run folder keeps a copy of them, so that it does not need the other folder again. Stages that are not trained keep
them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from medsmith.errors import RequestError, RunError
from medsmith.formats.atomic import sha256_of, write_bytes
from medsmith.methods import method_class
from medsmith.methods.base import Method, Stage
from medsmith.methods.config import flat_settings, validated
from medsmith.runs.checkpoints import RunRecord, load_method, load_strict, pack, read_record, unpack
from medsmith.runs.folder import STARTED_FROM, Checkpoint
from medsmith.runs.location import find_run
from medsmith.runs.started_from import StartedFrom
from medsmith.runs.steps import StageSteps

_WEIGHTS, _MEMORY = "weights.", "memory."


def settings_like(source: Path | str, method: str, settings: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The preset of the weights, and the settings that lead from it to their configuration, before those given.

    Args:
        source: a run folder, or the name of shipped weights.
        method: that is trained.
        settings: further changes, ``key=value``.

    Raises:
        RunError: no such run, or its record is damaged.
        RequestError: the weights are those of another method.
    """
    record = read_record(find_run(source))
    if record.method != method:
        raise RequestError("--from", f"{source} holds weights of {record.method}", f"{method} is to be trained")
    kind = method_class(method)
    config = validated(kind.Config, str(source), record.config)
    preset = flat_settings(kind.presets[record.preset])
    changed = (f"{key}={json.dumps(value)}" for key, value in flat_settings(config).items() if preset[key] != value)
    return record.preset, (*changed, *settings)


def copy_start(source: Path | str, untrained: Method, folder: Path) -> StartedFrom:
    """Copies the weights into a new run folder, after checking that they fit.

    Args:
        source: a run folder, or the name of shipped weights.
        untrained: the method as it is to be trained.
        folder: of the new run.

    Raises:
        RunError: no such run, unfinished or damaged; or weights of other shapes, as with other channels or labels.
    """
    method, record = load_method(source), read_record(find_run(source))
    load_strict(untrained, method.state_dict(), find_run(source) / "weights.safetensors")
    tensors = {f"{_WEIGHTS}{name}": tensor for name, tensor in method.state_dict().items()}
    tensors |= {f"{_MEMORY}{name}": tensor for name, tensor in method.memory.items()}
    write_bytes(folder / STARTED_FROM, pack(tensors))
    return StartedFrom(
        weights=method.weights_hash,
        copy_sha256=sha256_of(folder / STARTED_FROM),
        cohort_hash=record.fingerprint.cohort_hash,
        steps=record.steps,
    )


def check_same_start(folder: Path, record: RunRecord, source: Path | str | None) -> None:
    """Checks that a run is continued as it was started.

    Raises:
        RunError: it was started from other weights, or from random ones; or the weights do not exist.
    """
    before = None if record.started_from is None else record.started_from.weights
    now = None if source is None else sha256_of(find_run(source) / "weights.safetensors")
    if before != now:
        found, asked = (_named(weights) for weights in (before, now))
        raise RunError(folder, f"was started from {found}", f"{asked} are requested", "choose another run folder")


def _named(weights: str | None) -> str:
    return "random weights" if weights is None else f"weights {weights[:16]}"


def load_start(method: Method, record: RunRecord, folder: Path) -> None:
    """Puts the weights that a run started from into a method; nothing if it started from random ones.

    Raises:
        RunError: the copy in the run folder is missing or damaged.
    """
    if record.started_from is None:
        return
    path = folder / STARTED_FROM
    if not path.is_file() or sha256_of(path) != record.started_from.copy_sha256:
        raise RunError(path, "is missing or damaged", cure="restore it, or remove the folder to train anew")
    tensors = unpack(path)
    load_strict(method, _named_with(tensors, _WEIGHTS), path)
    method.memory = {**method.memory, **_named_with(tensors, _MEMORY)}


def _named_with(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def kept_from_start(record: RunRecord, stage: Stage) -> Checkpoint | None:
    """What stands for the checkpoint of a stage that keeps the weights it started from; None without such weights."""
    if record.started_from is None:
        return None
    steps = kept_steps(record).get(stage.name)
    done = 0 if steps is None else steps.done
    return Checkpoint(file=f"step-{done:08d}.safetensors", sha256=record.started_from.weights, step=done, seconds=0.0)


def is_kept(record: RunRecord, checkpoint: Checkpoint | None) -> bool:
    """Whether a checkpoint stands for weights that a run started from (``kept_from_start``)."""
    start = record.started_from
    return start is not None and checkpoint is not None and checkpoint.sha256 == start.weights


def kept_steps(record: RunRecord) -> Mapping[str, StageSteps]:
    """Steps behind the weights that a run started from, by stage; empty for random ones."""
    return {} if record.started_from is None else record.started_from.steps


def joined_galleries(before: Tensor | None, now: Tensor) -> Tensor:
    """Small pictures of the training cases of both runs, which the check for copies compares with."""
    if before is None or before.shape[1:] != now.shape[1:]:
        return now
    return torch.cat([before.to(now.dtype), now])
