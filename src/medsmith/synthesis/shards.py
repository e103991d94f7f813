"""Parts of one synthesis that are made apart, such as by the jobs of a SLURM array, and joined afterwards.

Of N shards, number i mod N + 1 has case number i. The bytes of a case depend on its number alone, so that the joined
cohort is that of a single call.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import final

from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import PROVENANCE, REPORTS, nnunet_files, recorded_files
from medsmith.errors import FileError, RequestError, SynthesisError, counted
from medsmith.formats.atomic import deferred_sync, replacing, sha256_of, write_bytes
from medsmith.formats.folders import check_disjoint_folders
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress
from medsmith.synthesis import folder
from medsmith.synthesis.missed import read_missed, write_missed
from medsmith.synthesis.plan import (
    PLAN,
    Plan,
    read_plan,
    relative_paths,
    relative_run,
    resolve_paths,
    resolve_run,
    write_plan,
)
from medsmith.synthesis.tasks import NOTICE, CaseIds, case_id, first_difference

_BATCH = 64
"""Cases that are synced together."""


@final
@dataclass(frozen=True)
class Shard:
    """One of several parts.

    Attributes:
        number: from 1.
        of: number of parts.

    Raises:
        RequestError: the number is not one of them.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise RequestError("--shard", f"{self}", "I/N with I from 1 to N", "correct it")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard of a text such as 2/8.

        Raises:
            RequestError: it is none.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None:
            raise RequestError("--shard", f"'{text}'", "I/N, such as 2/8", "correct it")
        return cls(int(found[1]), int(found[2]))

    def indices(self, count: int) -> range:
        """The numbers of its cases among so many."""
        return range(self.number - 1, count, self.of)


def are_shards(sources: Sequence[Path]) -> bool:
    """Whether every folder holds a shard of a synthesis."""
    return bool(sources) and all((source / PLAN).is_file() and read_plan(source).shard for source in sources)


def join_shards(sources: Sequence[Path], out: Path, progress: Progress | None = None) -> Cohort:
    """Joins all shards of a synthesis into the cohort that a single call would have made.

    An interrupted call continues when it is made again. Each file is checked against the hash in its case's
    provenance. Pictures of refused attempts and pages are not taken over.

    Args:
        sources: folders of the shards, in any order.
        out: a new folder, or that of the same call.
        progress: of copying the cases.

    Raises:
        SynthesisError: the shards are of several syntheses, one is missing or twice there, or a case is.
        FileError: a file is not what its provenance says, or cannot be written.
        CohortError: the folder holds something else, or another process writes there.
    """
    check_disjoint_folders((*sources, out))
    plans = [read_plan(source) for source in sources]
    _check_whole(sources, plans)
    folder.refuse_foreign(out)
    first = plans[0]
    whole = first.model_copy(
        update={
            "shard": None,
            "run": relative_run(resolve_run(first.run, sources[0]), out),
            "paths": relative_paths(resolve_paths(first.paths, sources[0]), out),
        }
    )
    with hold_output(out):
        cohort = _like(Cohort.open(sources[0]), out)
        folder.clean(out)
        write_plan(out, whole)
        missed = {id: attributes for source in sources for id, attributes in read_missed(source).items()}
        if missed:
            write_missed(out, missed)
        places = {Shard.parse(plan.shard or "1/1").number: source for source, plan in zip(sources, plans, strict=True)}
        method, count, of = first.recipe.method, first.count, Shard.parse(first.shard or "1/1").of
        homes = ((case_id(method, index), places[index % of + 1]) for index in range(count))
        made = ((id, source) for id, source in homes if id not in missed)
        _copy_all(made, count - len(missed), cohort, progress or NullProgress())
        folder.finish_copy(cohort, CaseIds(method, range(count)))
    return Cohort.open(out)


def _like(source: Cohort, out: Path) -> Cohort:
    return Cohort.create(
        out,
        channel_names=source.channel_names,
        label_names=source.label_names,
        file_ending=source.file_ending,
        description=NOTICE,
    )


def _check_whole(sources: Sequence[Path], plans: Sequence[Plan]) -> None:
    """Checks that the folders are all shards of one synthesis, each whole and there once."""
    first, seen = plans[0], dict[int, Path]()
    for source, plan in zip(sources, plans, strict=True):
        difference = first_difference(first.recipe.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
        shard = Shard.parse(plan.shard or "1/1")
        if difference or plan.count != first.count or shard.of != Shard.parse(first.shard or "1/1").of:
            found = difference or f"{plan.count} cases in {shard.of} shards"
            raise SynthesisError(source, f"is of another synthesis than {sources[0]}: {found}", cure="leave it out")
        if (other := seen.setdefault(shard.number, source)) != source:
            raise SynthesisError(source, f"is shard {shard} like {other}", "each shard once", "leave one out")
        ids, missed = CaseIds(plan.recipe.method, shard.indices(plan.count)), read_missed(source)
        lacking = [id for id in ids if id not in missed and not (source / PROVENANCE / f"{id}.json").exists()]
        if lacking:
            found, cure = f"lacks {counted(len(lacking), 'case')}, such as {lacking[0]}", "run its command again"
            raise SynthesisError(source, found, "whole shards", cure)
    total = Shard.parse(first.shard or "1/1").of
    if absent := sorted(set(range(1, min(total, first.count) + 1)) - seen.keys()):
        raise SynthesisError(sources[0], f"shard {absent[0]}/{total} is not named", f"all {total} are joined", "add it")


def _copy_all(homes: Iterable[tuple[str, Path]], count: int, cohort: Cohort, progress: Progress) -> None:
    """Copies so many cases from the folders of their shards, those that are not there yet."""
    out = cohort.root
    with progress.task("join", count) as advance:
        cases = iter(homes)
        while batch := list(islice(cases, _BATCH)):
            missing = [(id, source) for id, source in batch if not (out / PROVENANCE / f"{id}.json").exists()]
            with deferred_sync() as sync:
                for id, source in missing:
                    _copy_files(source, cohort, id)
                sync()  # a case counts as there by its provenance, which comes last
                for id, source in missing:
                    name = f"{PROVENANCE}/{id}.json"
                    write_bytes(out / name, (source / name).read_bytes())
            advance(len(batch), "")


def _copy_files(source: Path, cohort: Cohort, id: str) -> None:
    record = source / PROVENANCE / f"{id}.json"
    own = nnunet_files(cohort.root, id, len(cohort.channel_names), cohort.file_ending).paths
    known = {*(path.relative_to(cohort.root).as_posix() for path in own), f"{REPORTS}/{id}.json"}
    for name, digest in recorded_files(record).items():
        if name not in known:
            raise FileError(record, f"names {name!r:.80}", "the images, label map and report of its case", "restore it")
        path = source / name
        if not path.is_file() or sha256_of(path) != digest:
            found = "is not the file that its case's provenance names"
            raise FileError(path, found, cure="remove the case's provenance and run the shard's command again")
        with replacing(cohort.root / name) as temporary:
            shutil.copyfile(path, temporary)
