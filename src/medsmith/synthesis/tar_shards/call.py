"""The shards that one call makes: which are whole, their counts, and the packing of each when its cases are made."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.errors import counted
from medsmith.formats.storage import Storage
from medsmith.runs.log_file import LOG, LogFile
from medsmith.synthesis import folder
from medsmith.synthesis.folder import refused_images
from medsmith.synthesis.missed import MissedCases, Misses, not_made
from medsmith.synthesis.tar_shards.layout import Manifest, ShardIndex
from medsmith.synthesis.tar_shards.packing import pack, valid_manifest
from medsmith.synthesis.tasks import CaseTask


@final
@dataclass(frozen=True)
class ShardsSummary:
    """Counts of a call's shards.

    Attributes:
        location: folder or URL.
        shards: number of its shards.
        count: number of their cases.
        made: number of shards that this call wrote.
        attempts: at all cases together.
        refused: check -> number of attempts that it refused.
    """

    location: str
    shards: int
    count: int
    made: int
    attempts: int
    refused: Mapping[str, int]

    @property
    def line(self) -> str:
        """The summary in one line."""
        refused = refused_images(self.attempts - self.count, self.refused)
        made = (counted(self.shards, "shard"), "with", counted(self.count, "case"), refused)
        return f"{self.location}: {' '.join(filter(None, made))}; next: medsmith unpack {self.location} OUT"

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        counts = {"made": self.made, "attempts": self.attempts, "refused": dict(self.refused)}
        return {"location": self.location, "shards": self.shards, "cases": self.count, **counts}


@final
@dataclass(frozen=True)
class ShardsOfCall:
    """The shards that a call makes.

    Attributes:
        storage: their place.
        index: of all shards there.
        numbers: of this call's.
        cases: folder of the cases in work.
    """

    storage: Storage
    index: ShardIndex
    numbers: range
    cases: Path

    @property
    def log(self) -> LogFile:
        """Beside the shards, one for each part; behind a URL with the cases in work, and gone with them."""
        if self.storage.folder is None:
            return LogFile(self.cases / LOG)
        of = self.numbers.step
        return LogFile(self.storage.folder / (LOG if of == 1 else f"log-{self.numbers.start + 1}-of-{of}.txt"))

    def manifests(self) -> Iterator[tuple[int, Manifest | None]]:
        """Each shard with its manifest, if it is whole."""
        names = self.storage.names()
        return ((number, valid_manifest(self.storage, self.index, number, names)) for number in self.numbers)

    def summary(self, made: int) -> ShardsSummary:
        """Of whole shards.

        Raises:
            SynthesisError: some of their cases are not made since their lesions missed what was requested.
        """
        refused, missed = Counter[str](), dict[str, Misses]()
        shards, count, attempts = 0, 0, 0
        for _, manifest in self.manifests():  # one at a time: each names its cases
            if manifest is not None:
                refused.update(manifest.refused)
                missed.update(manifest.missed)
                shards, count, attempts = shards + 1, count + len(manifest.cases), attempts + manifest.attempts
        if missed:
            error = not_made(self.storage.location, count, missed)
            self.log.line(error.line)
            raise error
        return ShardsSummary(self.storage.location, shards, count, made, attempts, refused)


@final
class Packing:
    """Packs each shard when its last case is settled, in a thread, one at a time.

    Args:
        shards: of the call.
        missed: cases that are not made since their lesions missed what was requested.
        thread: that packs.
    """

    def __init__(self, shards: ShardsOfCall, missed: MissedCases, thread: ThreadPoolExecutor) -> None:
        self._shards, self._missed, self._thread = shards, missed, thread
        self._open: dict[int, int] = {}
        self._last: Future[None] | None = None
        self.count = 0
        """Cases that are settled: made, found whole, or not made since their lesions missed what was requested."""

    def tasks(self, numbers: list[int], template: CaseTask) -> Iterator[CaseTask]:
        """The cases that are missing, shard after shard; only the shards in work are kept in mind."""
        index, spec = self._shards.index, self._shards.index.spec
        for number in numbers:
            pairs = zip(index.indices(number), index.ids(number), strict=True)
            missing = [
                place
                for place, id in pairs
                if id not in self._missed.cases and not folder.is_whole(self._shards.cases, spec, id)
            ]
            self.count += len(index.ids(number)) - len(missing)
            self._open[number] = len(missing)
            if not missing:
                self._pack(number)
            for place in missing:
                yield template.model_copy(update={"index": place})

    def settled(self, task: CaseTask) -> None:
        """Notes a case that is made, or never will be."""
        number = task.index // self._shards.index.shard_cases
        self.count += 1
        self._open[number] -= 1
        if not self._open[number]:
            self._pack(number)

    def wait(self) -> None:
        """Returns when the last shard is written.

        Raises:
            FileError: it could not be.
        """
        if self._last is not None:
            self._last.result()

    def _pack(self, number: int) -> None:
        self.wait()
        del self._open[number]
        index, all_missed = self._shards.index, self._missed.cases
        missed = {id: all_missed[id] for id in index.ids(number) if id in all_missed}
        self._last = self._thread.submit(pack, self._shards.storage, index, number, self._shards.cases, missed)
