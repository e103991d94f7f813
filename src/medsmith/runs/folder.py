"""The run folder while it trains: checkpoints that survive a kill, and metrics.

RUN/
run.json, weights.safetensors, memory.safetensors, manifest.json     see checkpoints.py
checkpoints/<stage>/step-<n>.safetensors   raw weights, moving average and optimizer of one stage
checkpoints/<stage>/index.json             the last two, newest first, with their hashes
checkpoints/<stage>/initial.safetensors    memory and buffers that were set when the stage began
started_from.safetensors                   weights that the run started from, if not random ones
examples/                                  prepared cases; removed by ``medsmith clean``
metrics.jsonl                              one line per logged step
log.txt                                    what each call did, and when (log_file.py)
samples/                                   previews
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from torch import Tensor

from medsmith.errors import FileError, MedsmithError, RunError
from medsmith.formats.atomic import (
    remove_if_empty,
    remove_temporary_files,
    sha256_of,
    unwritable,
    write_bytes,
    write_json,
)
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_folder
from medsmith.runs.checkpoints import pack, read_tensors, unpack
from medsmith.runs.log_file import LOG

METRICS = "metrics.jsonl"
CHECKPOINTS, SAMPLES, EXAMPLES, INITIAL = "checkpoints", "samples", "examples", "initial.safetensors"
STARTED_FROM = "started_from.safetensors"
DECODED = "decoded"
"""In ``examples/`` while a new run starts: see ``case_cache``."""
CHECKPOINTS_KEPT = 2

_log = logging.getLogger("medsmith")


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Lock a run folder, made if missing, for this process; the system releases it when the process ends.

    Temporary files of killed writers are removed; so is, at the end, a folder that was made here and is empty.

    Raises:
        RunError: another process holds the lock.
        FileError: the folder cannot be made.
    """
    existed = run.exists()
    busy = RunError(run, "another process is training here", "one at a time", "wait for it, or stop it")
    with hold_folder(run, busy):
        try:
            for folder in (run, run / SAMPLES, *(run / CHECKPOINTS).glob("*"), *(run / EXAMPLES).glob("*")):
                remove_temporary_files(folder)
            yield
        finally:
            if not existed:
                remove_if_empty(run / EXAMPLES)


@contextmanager
def removed_if_refused(run: Path) -> Iterator[None]:
    """Removes what a call wrote to a new run and then refused, so that it does not block a corrected call.

    What has trained steps stays with its log, even where no checkpoint was saved yet; and so does what a disk or a
    signal stopped, which the same call continues.

    Args:
        run: a folder that is free, or that of a run.
    """
    new = not (run / "run.json").exists()
    try:
        yield
    except FileError:
        raise
    except MedsmithError:
        if new and not has_steps(run):
            for name in ("run.json", STARTED_FROM, METRICS, LOG):
                (run / name).unlink(missing_ok=True)
            for name in (CHECKPOINTS, SAMPLES, EXAMPLES):
                shutil.rmtree(run / name, ignore_errors=True)
        raise


def has_steps(run: Path) -> bool:
    """Whether a step was trained in a run folder: a checkpoint or a line of the metrics tells of it."""
    metrics = run / METRICS
    return any((run / CHECKPOINTS).glob("*/step-*")) or (metrics.is_file() and metrics.stat().st_size > 0)


def clean(run: Path) -> int:
    """Remove the prepared cases of a run; training prepares them again if needed.

    Returns:
        Bytes that were freed.

    Raises:
        RunError: it is not a run folder, or another process trains in it.
    """
    if not run.exists():
        raise RunError(run, "does not exist", cure="name the folder of a run")
    if not (run / "run.json").is_file():
        raise RunError(run, "no run.json in it", cure="name the folder of a run")
    with lock_run(run):
        freed = sum(path.stat().st_size for path in (run / EXAMPLES).rglob("*") if path.is_file())
        shutil.rmtree(run / EXAMPLES, ignore_errors=True)
    return freed


@final
class Checkpoint(BaseModel):
    """Index entry of one checkpoint.

    Attributes:
        file: its name.
        sha256: of its bytes.
        step: number of steps done in the stage.
        seconds: of training up to it, over all calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, Field(pattern=r"^step-\d+\.safetensors$")]
    sha256: str
    step: int
    seconds: float


_INDEX = TypeAdapter(tuple[Checkpoint, ...])


@final
class StageCheckpoints:
    """Checkpoints of one stage of a run.

    Args:
        run: the run folder.
        stage: the stage's name.
    """

    def __init__(self, run: Path, stage: str) -> None:
        self._folder = run / CHECKPOINTS / stage
        self._index = self._folder / "index.json"
        self._damaged: set[str] = set()

    def save(self, tensors: Mapping[str, Tensor], step: int, seconds: float) -> None:
        """Write a checkpoint, add it to the index, remove the oldest: a kill at any point leaves one that loads."""
        path = self._folder / f"step-{step:08d}.safetensors"
        data = pack(tensors)
        write_bytes(path, data)
        newest = Checkpoint(file=path.name, sha256=hashlib.sha256(data).hexdigest(), step=step, seconds=seconds)
        older = (entry for entry in self.entries() if entry.file not in self._damaged | {path.name})
        kept = (newest, *older)[:CHECKPOINTS_KEPT]
        write_json(self._index, [entry.model_dump() for entry in kept])
        for stray in {file.name for file in self._folder.glob("step-*")} - {entry.file for entry in kept}:
            (self._folder / stray).unlink()

    def save_initial(self, memory: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        """Write memory and buffers that were set when the stage began; before its first checkpoint."""
        named = {f"memory.{name}": tensor for name, tensor in memory.items()}
        named |= {f"buffer.{name}": tensor for name, tensor in buffers.items()}
        data = pack(named)
        write_bytes(self._folder / INITIAL, data)
        write_json(self._folder / "initial.json", {"sha256": hashlib.sha256(data).hexdigest()})

    def initial(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Memory and buffers that were set when the stage began.

        Raises:
            RunError: they are damaged.
        """
        path = self._folder / INITIAL
        cure = f"remove {self._folder} to train this stage anew"
        try:
            expected = read_json(self._folder / "initial.json").get("sha256")
        except FileError as error:
            raise RunError(error.subject, error.found, error.limit, cure) from None
        if not path.is_file() or sha256_of(path) != expected:
            raise RunError(path, "is missing or damaged", cure=cure)
        tensors = read_tensors(path)
        memory, buffers = (
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for prefix in ("memory.", "buffer.")
        )
        return memory, buffers

    def entries(self) -> tuple[Checkpoint, ...]:
        """Entries of the index, newest first.

        Raises:
            RunError: it is damaged.
        """
        if not self._index.is_file():
            return ()
        try:
            return _INDEX.validate_json(self._index.read_bytes())
        except ValueError:
            cure = f"restore it, or remove {self._folder} to train this stage anew"
            raise RunError(self._index, "is no index of checkpoints", cure=cure) from None

    def newest(self) -> tuple[dict[str, Tensor], Checkpoint] | None:
        """Tensors and index entry of the newest undamaged checkpoint; None before the first.

        Raises:
            RunError: there are checkpoints, and all are damaged.
        """
        entries = self.entries()
        for entry in entries:
            tensors = self.read(entry)
            if tensors is not None:
                return tensors, entry
            self._damaged.add(entry.file)
            path = self._folder / entry.file
            _log.warning("%s: is missing or damaged; an earlier checkpoint is looked for", path)
        if entries:
            raise RunError(self._folder, "every checkpoint is damaged", cure="remove the folder to train anew")
        return None

    def read(self, entry: Checkpoint) -> dict[str, Tensor] | None:
        """Tensors of a checkpoint; None where its file is not there, or not as it was written."""
        path = self._folder / entry.file
        return unpack(path) if path.is_file() and sha256_of(path) == entry.sha256 else None


@final
class Metrics:
    """metrics.jsonl of a run.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / METRICS

    def rewind(self, stage: str, step: int) -> None:
        """Remove the lines of a stage after the step it continues from, and lines that are none."""
        self._keep(lambda entry: entry["step"] <= step or entry["stage"] != stage)

    def drop_ends(self, stage: str, every: int) -> None:
        """Remove the lines of a stage on the last step of earlier calls, which a calm run does not have.

        Args:
            stage: that continues.
            every: steps between lines of a calm run.
        """
        self._keep(lambda entry: entry["step"] % every == 0 or entry["stage"] != stage)

    def _keep(self, is_kept: Callable[[Mapping[str, Any]], bool]) -> None:
        if not self.path.is_file():
            return
        kept = []
        for line in self.path.read_text(errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                if is_kept(json.loads(line)):
                    kept.append(line + "\n")
        write_bytes(self.path, "".join(kept).encode())

    def append(self, **entry: str | float) -> None:
        """Add one line.

        Raises:
            FileError: the disk does not take it.
        """
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise unwritable(self.path, error) from None
