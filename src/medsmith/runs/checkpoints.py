"""Weights on disk: safetensors, a JSON record and a manifest of hashes; nothing is unpickled.

A run folder, and the folder of shipped weights, hold

    run.json              method, preset, config, seed, fingerprint, compute, versions
    weights.safetensors   all parts, as synthesis uses them
    memory.safetensors    what the method keeps of its training cohort besides weights
    manifest.json         sha256 of the three, written last
    README.md             model card
"""

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from medsmith.data.fingerprint import Fingerprint
from medsmith.errors import FileError, RunError
from medsmith.formats.atomic import sha256_of, write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.methods import method_class
from medsmith.methods.base import Method
from medsmith.methods.config import explain, validated
from medsmith.networks.divided import divided_like
from medsmith.networks.limit import TooManyNumbersError, limited_numbers
from medsmith.networks.precision import Compute
from medsmith.runs.location import SHIPPED as SHIPPED
from medsmith.runs.location import find_run as find_run
from medsmith.runs.started_from import StartedFrom
from medsmith.runs.steps import StageSteps

FILES = ("run.json", "weights.safetensors", "memory.safetensors")
_RESTORE = "restore it, or remove the folder to train anew"
_OTHER_VERSION = "train again, or use the version of medsmith that wrote it"
_UNSAVED = 2**20
"""Numbers of tables that are computed and not saved, such as those of the noise schedule."""
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_MEMORY_FORMATS = (torch.float32, torch.float64, *_WHOLE, torch.bool)
_FINISH = "run the same train command again, or copy the folder again"


@final
class RunRecord(BaseModel):
    """The record of a run (``run.json``).

    Attributes:
        method: name of the method.
        preset: the preset on which the config is based.
        config: the full config.
        seed: of initial weights, batches and noise.
        fingerprint: of the training cohort.
        compute: stage -> number format and layout of its passes.
        versions: of Python and the libraries that decide the bytes of a result.
        steps: stage -> steps behind the finished weights; empty before they are finished, and in older runs.
        started_from: weights of another run; None for random ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    preset: str
    config: dict[str, Any]
    seed: int
    fingerprint: Fingerprint
    compute: Mapping[str, Compute]
    versions: dict[str, str]
    steps: Mapping[str, StageSteps] = {}
    started_from: StartedFrom | None = None


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the bytes of a result."""
    names = ("medsmith", "torch", "monai", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def build_method(record: RunRecord, seed: int | None = None) -> Method:
    """The method of a record with initial weights, sampled from ``seed`` if given.

    Raises:
        RequestError: an unknown method, or a config that its method does not take.
    """
    kind = method_class(record.method)
    config = validated(kind.Config, "config", record.config)
    with torch.random.fork_rng(devices=()):
        if seed is not None:
            torch.default_generator.manual_seed(seed % 2**63)
        method = kind(config, record.fingerprint)
    method.name = record.method
    return apply_compute(method, record)


def apply_compute(method: Method, record: RunRecord) -> Method:
    """Let every part compute in the number format and layout of the record; float32 where it has none.

    Returns:
        The same method.
    """
    labels: list[str] = []
    for stage in method.stages():
        compute = record.compute.get(stage.name, Compute()).for_device(method.device.type)
        labels.append(compute.label)
        for part in stage.parts:
            compute.apply_to(method.part(part))
    method.precision = ", ".join(dict.fromkeys(labels))
    return method


def save_weights(folder: Path, method: Method, record: RunRecord) -> None:
    """Write a method for ``load_method``; the manifest last, so that an incomplete write is detected."""
    (folder / "manifest.json").unlink(missing_ok=True)
    write_json(folder / "run.json", record.model_dump(mode="json"))
    write_bytes(folder / "weights.safetensors", pack(method.state_dict()))
    write_bytes(folder / "memory.safetensors", pack(method.memory))
    write_json(folder / "manifest.json", {name: sha256_of(folder / name) for name in FILES})


def export_weights(run: Path | str, folder: Path) -> None:
    """Copy a finished run to another folder at half the size, floats in 16 bits (weights lose 13 of 24 bits).

    Raises:
        RunError: the run cannot be used.
    """
    method, source = load_method(run), find_run(run)
    weights, memory = _to_half(method.state_dict()), _to_half(method.memory)
    write_json(folder / "run.json", read_record(source).model_dump(mode="json"))
    write_bytes(folder / "weights.safetensors", pack(weights))
    write_bytes(folder / "memory.safetensors", pack(memory))
    write_bytes(folder / "README.md", (source / "README.md").read_bytes())
    write_json(folder / "manifest.json", {name: sha256_of(folder / name) for name in FILES})


def _to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floats of 32 bits in 16; counts, which are integers or floats of 64 bits, as they are."""
    return {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in tensors.items()}


def load_method(run: Path | str, *, device: str = "cpu") -> Method:
    """A trained method, ready to synthesize.

    Args:
        run: a run folder, or the name of shipped weights.
        device: of its networks.

    Raises:
        RunError: no such run, unfinished, damaged, or made for another architecture.
    """
    folder = find_run(run)
    _check_manifest(folder)
    record = read_record(folder)
    method = _built(record, folder)
    load_strict(method, unpack(folder / "weights.safetensors"), folder / "weights.safetensors")
    method.memory = _checked_memory(folder / "memory.safetensors")
    method.weights_hash = sha256_of(folder / "weights.safetensors")
    return apply_compute(method.to(device), record).eval().requires_grad_(False)


def _built(record: RunRecord, folder: Path) -> Method:
    """The method of a record that may be anybody's, with no more numbers than its file of weights can hold.

    Raises:
        RunError: the record describes no network that can be built, or a larger one than the file is of.
    """
    path, most = folder / "run.json", (folder / "weights.safetensors").stat().st_size + _UNSAVED
    try:
        with limited_numbers(most):
            return build_method(record)
    except (TooManyNumbersError, MemoryError):
        found = f"describes networks of more numbers than {folder / 'weights.safetensors'} can hold"
        raise RunError(path, found, "made for another architecture", _RESTORE) from None
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        found = f"describes no network that can be built ({str(error).splitlines()[0] if str(error) else error!r})"
        raise RunError(path, found, cure=_RESTORE) from None


def _checked_memory(path: Path) -> dict[str, Tensor]:
    """What a method keeps besides weights.

    Raises:
        RunError: the file is missing or damaged, or its numbers are in a format that is not written.
    """
    memory = unpack(path)
    for name, tensor in memory.items():
        if tensor.dtype not in _MEMORY_FORMATS:
            found = f"{name} is {str(tensor.dtype).removeprefix('torch.')}"
            raise RunError(path, found, "memory is float32, float64, whole numbers or bool", _RESTORE)
    return memory


def is_finished(run: Path) -> bool:
    """Whether a run folder holds weights of all its stages."""
    return all((run / name).is_file() for name in FILES)


def read_record(folder: Path) -> RunRecord:
    """The run.json of a folder.

    Raises:
        RunError: it is damaged, or from another version.
    """
    path = folder / "run.json"
    try:
        return RunRecord.model_validate(read_json(path))
    except FileError as error:
        raise RunError(path, error.found, error.limit, _OTHER_VERSION) from None
    except ValidationError as error:
        problem = explain(RunRecord, str(path), error)
        raise RunError(path, problem.found, problem.limit, _OTHER_VERSION) from None


def _check_manifest(folder: Path) -> None:
    try:
        expected = read_json(folder / "manifest.json")
    except FileError:
        raise RunError(folder, "no finished weights", cure=_FINISH) from None
    for name in FILES:
        if expected.get(name) != sha256_of(folder / name):
            cure = _RESTORE if name == "run.json" else _FINISH
            raise RunError(folder / name, "does not match manifest.json", cure=cure)


def check_record(folder: Path) -> None:
    """Check that run.json is the one that the finished weights were made with; training reads everything from it.

    Raises:
        RunError: it is not.
    """
    try:
        expected = read_json(folder / "manifest.json")["run.json"]
    except (FileError, KeyError):
        return  # not finished
    if expected != sha256_of(folder / "run.json"):
        raise RunError(folder / "run.json", "does not match manifest.json", cure=_RESTORE)


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors bytes; equal tensors give equal bytes."""
    return tensors_to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return tensors_from_bytes(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RunError(path, f"cannot be read ({error})", cure="copy the file again, or train again") from None


def unpack(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; 16-bit floats are returned as float32.

    Raises:
        RunError: the file is missing or damaged.
    """
    tensors = read_tensors(path)
    return {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], subject: Path) -> None:
    """Load tensors into a module that has exactly these names, shapes and number formats.

    Args:
        module: changed in place.
        tensors: by name.
        subject: the path that errors name.

    Raises:
        RunError: keys missing or unexpected, another shape or format, or numbers that are not finite.
    """
    expected = module.state_dict()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise RunError(subject, f"missing {missing[:3]}, unexpected {extra[:3]}", "made for another architecture")
    for name, tensor in tensors.items():
        found, needed = (f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in (tensor, expected[name]))
        if found != needed:
            raise RunError(subject, f"{name} is {found}, needed {needed}", "made for another architecture")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RunError(subject, f"{name} has numbers that are not finite", cure="use an earlier checkpoint")
    module.load_state_dict({name: divided_like(tensor, expected[name]) for name, tensor in tensors.items()})
