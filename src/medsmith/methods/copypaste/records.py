"""Images and structures as bytes in the memory of a run: safetensors, compressed; nothing is unpickled."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TypeVar, final, overload

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from medsmith.errors import RunError

_LARGEST = 2**33
"""Most bytes of one record when it is decompressed."""
_FACTS, _ENDS = "facts", ".ends"
_LEVEL = 6
Arrays = Mapping[str, np.ndarray]
Facts = TypeVar("Facts", bound=BaseModel)


def packed(facts: BaseModel, arrays: Arrays) -> bytes:
    """Facts and arrays as compressed bytes.

    Args:
        facts: are written as JSON.
        arrays: in number formats that safetensors has.
    """
    text = json.dumps(facts.model_dump(mode="json"), sort_keys=True).encode()
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return zlib.compress(save({**tensors, _FACTS: np.frombuffer(text, np.uint8)}), _LEVEL)


def unpacked(record: bytes, kind: type[Facts]) -> tuple[Facts, Arrays]:
    """Inverse of ``packed``.

    Raises:
        RunError: the bytes are damaged.
    """
    try:
        arrays = load(zlib.decompressobj().decompress(record, _LARGEST))
        text = arrays.pop(_FACTS).tobytes()
        return kind.model_validate_json(text), arrays
    except (zlib.error, SafetensorError, KeyError, ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError("memory.safetensors", f"a kept case is damaged ({reason})", cure="train again") from None


def joined(name: str, records: Sequence[bytes]) -> dict[str, Tensor]:
    """Records one after another, and where each ends, for the memory of a run.

    Args:
        name: of the tensor.
        records: any number.
    """
    ends = np.cumsum([len(record) for record in records], dtype=np.int64)
    return {name: as_tensor(b"".join(records)), name + _ENDS: torch.from_numpy(ends)}


@final
class Records(Sequence[bytes]):
    """Inverse of ``joined``; each record is copied when it is asked for. None where there is no such tensor.

    Args:
        memory: of a run, or an example.
        name: of the tensor.
    """

    def __init__(self, memory: Mapping[str, Tensor], name: str) -> None:
        found = name in memory and name + _ENDS in memory
        self._whole = memory[name].cpu() if found else torch.empty(0, dtype=torch.uint8)
        self._ends = [0, *(memory[name + _ENDS].tolist() if found else [])]

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        row = range(len(self))[index]
        return as_bytes(self._whole[self._ends[row] : self._ends[row + 1]])


def as_tensor(record: bytes) -> Tensor:
    """Bytes as a tensor, which examples and memory are made of."""
    return torch.frombuffer(bytearray(record), dtype=torch.uint8) if record else torch.empty(0, dtype=torch.uint8)


def as_bytes(tensor: Tensor) -> bytes:
    """Inverse of ``as_tensor``."""
    return tensor.cpu().numpy().tobytes()
