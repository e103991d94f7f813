"""Prepared cases on disk, written once and read through memory maps, so that memory does not grow with the cohort.

FOLDER/
<tensor>.bin     the bytes of one tensor of every example, one after another
index.jsonl      one line per example: id, what its case has, and offset, type and shape of each tensor
complete.json    written last, with the hash of each file; without it the next build continues after the
                 last line of the index
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final, overload

import numpy as np
import torch
from torch import Tensor

from medsmith.data.batches import Example
from medsmith.formats.atomic import unwritable, write_json

INDEX, COMPLETE = "index.jsonl", "complete.json"
_EXAMPLES_PER_SYNC = 32
"""A kill loses at most this many examples."""


@final
@dataclass(frozen=True)
class Entry:
    """One example in the index.

    Attributes:
        id: of its case, with a suffix where a case gives several examples.
        kinds: what the case has: "image", "labels".
        tensors: name -> offset in its file, dtype, shape.
    """

    id: str
    kinds: tuple[str, ...]
    tensors: Mapping[str, tuple[int, str, tuple[int, ...]]]

    def line(self) -> str:
        """The line of the index."""
        return json.dumps({"id": self.id, "kinds": self.kinds, "tensors": self.tensors}) + "\n"

    @classmethod
    def parsed(cls, line: str) -> "Entry":
        """The entry of a line of the index.

        Raises:
            ValueError, KeyError: the line is incomplete.
        """
        facts = json.loads(line)
        tensors = {name: (offset, dtype, tuple(shape)) for name, (offset, dtype, shape) in facts["tensors"].items()}
        return cls(facts["id"], tuple(facts["kinds"]), tensors)


@final
class ExampleStore(Sequence[Example]):
    """The examples of a complete store.

    Args:
        folder: of the store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries = _read_index(folder)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        return {name: self.tensor(index, name) for name in self.entries[index].tensors}

    def tensor(self, index: int, name: str) -> Tensor:
        """One tensor of one example, copied from the memory map, which is closed at once."""
        offset, dtype, shape = self.entries[index].tensors[name]
        kind: torch.dtype = getattr(torch, dtype)
        count = int(np.prod(shape)) * kind.itemsize
        if not count:
            return torch.empty(shape, dtype=kind)
        mapped = np.memmap(self.folder / f"{name}.bin", np.uint8, "r", offset, (count,))
        return torch.from_numpy(np.array(mapped)).view(kind).reshape(shape)


@final
class ExampleView(Sequence[Example]):
    """Some examples of a store, with the tensors that all of them have.

    Args:
        store: the store.
        indices: of the examples.
        without: names of tensors that are left out.
    """

    def __init__(self, store: ExampleStore, indices: Sequence[int], without: frozenset[str] = frozenset()) -> None:
        self._store, self.indices = store, indices
        names = [store.entries[index].tensors.keys() for index in indices]
        self._names = [name for name in names[0] if all(name in each for each in names)] if names else []
        self._names = [name for name in self._names if name not in without]

    @property
    def ids(self) -> list[str]:
        """Ids of the examples."""
        return [self._store.entries[index].id for index in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        return {name: self._store.tensor(self.indices[index], name) for name in self._names}


Make = Callable[[str], tuple[Sequence[str], Example]]


def build_store(folder: Path, ids: Iterable[str], make: Make, advance: Callable[[int, str], None]) -> ExampleStore:
    """Write a store, or continue an incomplete one; by one process at a time. A damaged one is written anew.

    Args:
        folder: of the store; its name should contain a hash of everything that decides its content.
        ids: of the examples, in order.
        make: id -> what the case has, and its example.
        advance: called with every example, also with those already written.

    Raises:
        FileError: the store cannot be written.
    """
    if _is_intact(folder):
        return ExampleStore(folder)
    try:
        if (folder / COMPLETE).exists():
            shutil.rmtree(folder)  # damaged since it was completed
        folder.mkdir(parents=True, exist_ok=True)
        done = {entry.id for entry in _truncated(folder)}
        with ExitStack() as stack:
            writer = _Writer(folder, stack)
            for id in ids:
                if id not in done:
                    writer.append(id, *make(id))
                advance(1, "")
            writer.commit()
    except OSError as error:
        raise unwritable(folder, error) from None
    store = ExampleStore(folder)
    write_json(folder / COMPLETE, {"examples": len(store), "sha256": _hashes(folder)})
    return store


def remove_other_stores(folder: Path, kept: Iterable[str], prefix: str) -> None:
    """Remove out-of-date stores.

    Args:
        folder: that contains the stores.
        kept: names of stores that stay.
        prefix: names of the stores that are removed start with it.
    """
    names = set(kept)
    for path in folder.glob(f"{prefix}*"):
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)


@final
class _Writer:
    """Appends examples; a line is added to the index only when its bytes are on disk."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._files: dict[str, BinaryIO] = {}
        self._index = stack.enter_context((folder / INDEX).open("a"))
        self._lines: list[str] = []

    def append(self, id: str, kinds: Sequence[str], example: Example) -> None:
        tensors = {name: self._write(name, tensor) for name, tensor in example.items()}
        self._lines.append(Entry(id, tuple(kinds), tensors).line())
        if len(self._lines) == _EXAMPLES_PER_SYNC:
            self.commit()

    def _write(self, name: str, tensor: Tensor) -> tuple[int, str, tuple[int, ...]]:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = self._stack.enter_context((self._folder / f"{name}.bin").open("ab"))
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        offset = file.tell()
        file.write(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
        return offset, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)

    def commit(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._index.writelines(self._lines)
        self._index.flush()
        os.fsync(self._index.fileno())
        self._lines.clear()


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the index and of the tensors, by file name."""
    hashes = {}
    for path in sorted([folder / INDEX, *folder.glob("*.bin")]):
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _is_intact(folder: Path) -> bool:
    """Whether a store is complete and its files are those that were written."""
    try:
        written = json.loads((folder / COMPLETE).read_bytes())["sha256"]
        return bool(written == _hashes(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read_index(folder: Path) -> list[Entry]:
    """Entries of the index up to the first incomplete line."""
    entries: list[Entry] = []
    path = folder / INDEX
    for line in path.read_text(errors="replace").splitlines(keepends=True) if path.is_file() else ():
        try:
            entries.append(Entry.parsed(line))
        except (AttributeError, KeyError, TypeError, ValueError):
            break
    return entries


def _truncated(folder: Path) -> list[Entry]:
    """The entries of an incomplete store, after truncating bytes and incomplete lines beyond them.

    A store that lacks bytes that its index names is emptied.
    """
    entries = _read_index(folder)
    ends = _ends(folder, entries)
    if ends is None:
        shutil.rmtree(folder)
        folder.mkdir()
        return []
    (folder / INDEX).write_text("".join(entry.line() for entry in entries))
    for path in folder.glob("*.bin"):
        os.truncate(path, ends.get(path.stem, 0))
    return entries


def _ends(folder: Path, entries: Sequence[Entry]) -> dict[str, int] | None:
    """Tensor -> where its last example ends; None if a file is shorter, or an entry is none that was written."""
    ends: dict[str, int] = {}
    try:
        for entry in entries:
            for name, (offset, dtype, shape) in entry.tensors.items():
                ends[name] = offset + math.prod(shape) * _itemsize(dtype)
        whole = all((folder / f"{name}.bin").stat().st_size >= end for name, end in ends.items())
    except (OSError, AttributeError, TypeError, ValueError):
        return None
    return ends if whole else None


def _itemsize(dtype: Any) -> int:
    kind: torch.dtype = getattr(torch, dtype)
    return kind.itemsize
