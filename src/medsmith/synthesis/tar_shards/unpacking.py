"""Turns tar shards back into the cohort that a plain call writes; nothing of an archive is trusted."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from medsmith.cases.cohort import Cohort
from medsmith.cases.nnunet_folder import IMAGES, LABELS, PROVENANCE
from medsmith.errors import FileError
from medsmith.formats.atomic import deferred_sync, replacing, temporary_name, unwritable, write_bytes
from medsmith.formats.folders import check_disjoint_folders
from medsmith.formats.hashing import HashingWriter
from medsmith.formats.json_file import parse_json
from medsmith.formats.lock import hold_output
from medsmith.formats.storage import Storage
from medsmith.formats.tar import MemberContent, TarMembers
from medsmith.progress import NullProgress, Progress
from medsmith.synthesis import folder
from medsmith.synthesis.missed import Misses, not_made, write_missed
from medsmith.synthesis.plan import Plan, relative_paths, relative_run, resolve_paths, resolve_run, write_plan
from medsmith.synthesis.tar_shards.layout import Manifest, ShardIndex, matching_manifest, read_index
from medsmith.synthesis.tasks import CaseIds
from medsmith.synthesis.worker import open_cohort

_AGAIN = "run the command that makes the shards again"
_BLOCK, _LIMIT = 2**20, 64 * 2**20


def unpack(location: Path | str, out: Path | str, *, progress: Progress | None = None) -> Cohort:
    """Write the cohort whose cases are in tar shards: the files that ``synthesize`` writes, byte for byte.

    The hash of each archive and of each file is checked. An interrupted call continues when it is made again. Pictures
    of refused attempts and pages are not in the shards.

    Args:
        location: folder or URL of the shards.
        out: a new folder, or that of the same call.
        progress: of unpacking.

    Raises:
        RequestError: the location cannot be reached.
        FileError: a shard or its manifest is missing or damaged, holds a member that is no file of its cases, or a
            file is not what its provenance says.
        SynthesisError: the folder has another plan, or no case was made since all missed what was requested.
        CohortError: the folder holds something else, or another process writes there.
    """
    storage, out = Storage.at(location), Path(out)
    index = read_index(storage)
    if storage.folder is not None:
        check_disjoint_folders((storage.folder, out))
    folder.refuse_foreign(out)
    names = storage.names()
    for number in index.numbers:
        for name in (index.manifest(number), index.archive(number)):
            if name not in names:
                raise FileError(storage.name_of(name), "does not exist", f"all {len(index.numbers)} shards", _AGAIN)
    with hold_output(out):
        cohort = open_cohort(out, index.spec)
        folder.clean(out)
        write_plan(out, _plan_at(index, storage, out))
        shown, missed = progress or NullProgress(), dict[str, Misses]()
        with shown.task("unpack", index.plan.count) as advance:
            for number in index.numbers:
                manifest = matching_manifest(storage, index, number)
                missed |= manifest.missed
                if not all(folder.is_whole(out, index.spec, id) for id in manifest.cases):
                    _unpack_one(storage, index, number, manifest, out)
                advance(len(index.ids(number)), "")
        ids = CaseIds(index.plan.recipe.method, range(index.plan.count))
        if len(missed) == len(ids):
            folder.remove_if_empty(cohort, ids)
            raise not_made(storage.location, 0, missed)
        if missed:
            write_missed(out, missed)
        folder.finish_copy(cohort, ids)
    return Cohort.open(out)


def _plan_at(index: ShardIndex, storage: Storage, out: Path) -> Plan:
    """The plan of the cohort, its paths relative to it."""
    base = storage.folder or Path.cwd()
    plan = index.plan
    paths, run = resolve_paths(plan.paths, base), resolve_run(plan.run, base)
    return plan.model_copy(update={"paths": relative_paths(paths, out), "run": relative_run(run, out)})


def _unpack_one(storage: Storage, index: ShardIndex, number: int, manifest: Manifest, out: Path) -> None:
    """Writes the cases of a shard, after all of it was checked."""
    subject = storage.name_of(index.archive(number))
    with _fetched(storage, index.archive(number), manifest, out) as archive:
        known = {member: name for id in manifest.cases for member, name in index.members(id).items()}
        sums, records = _contents(TarMembers(archive, subject), known, subject)
        for id in manifest.cases:
            _check_case(id, index, sums, records, subject)
        with deferred_sync() as sync:
            for member, content in TarMembers(archive, subject):
                if known[member] in sums:
                    with replacing(out / known[member]) as temporary, temporary.open("wb") as file:
                        shutil.copyfileobj(content, file, _BLOCK)
            sync()  # a case counts as there by its provenance, which comes last
            for name, data in records.items():
                write_bytes(out / name, data)


@contextmanager
def _fetched(storage: Storage, name: str, manifest: Manifest, out: Path) -> Iterator[Path]:
    """A copy of a shard's archive, which has the hash that its manifest names; removed afterwards."""
    subject, path = storage.name_of(name), out / temporary_name(".tar")
    try:
        target = _copied(_blocks(storage, name, manifest.bytes), path)
        if (target.count, target.sha256) != (manifest.bytes, manifest.sha256):
            raise FileError(subject, "has another hash than its manifest names", cure=f"remove both and {_AGAIN}")
        yield path
    finally:
        path.unlink(missing_ok=True)


def _blocks(storage: Storage, name: str, most: int) -> Iterator[bytes]:
    """The content of a file, at most a block more than so many bytes."""
    with storage.reading(name) as source:
        count = 0
        while count <= most and (block := source.read(_BLOCK)):
            count += len(block)
            yield block


def _copied(blocks: Iterable[bytes], path: Path) -> HashingWriter:
    """Writes a file; its size and hash."""
    try:
        with path.open("wb") as file:
            target = HashingWriter(file)
            for block in blocks:
                target.write(block)
    except OSError as error:
        raise unwritable(path, error) from error
    return target


def _contents(
    members: Iterable[tuple[str, MemberContent]], known: Mapping[str, str], subject: str
) -> tuple[dict[str, str], dict[str, bytes]]:
    """The hashes of all files but the provenance of cases, and that provenance, by their names in a cohort."""
    sums: dict[str, str] = {}
    records: dict[str, bytes] = {}
    for member, content in members:
        if member not in known:
            raise FileError(subject, f"its member {member!r:.80} is no file of its cases", cure=_AGAIN)
        name = known[member]
        if name.startswith(f"{PROVENANCE}/"):
            records[name] = content.read(_LIMIT)
            continue
        digest = HashingWriter()
        shutil.copyfileobj(content, digest, _BLOCK)
        sums[name] = digest.sha256
    return sums, records


def _check_case(
    id: str, index: ShardIndex, sums: Mapping[str, str], records: Mapping[str, bytes], subject: str
) -> None:
    """Checks that a case has a provenance, and the files that it names, unchanged; one is an image or a label map."""
    name = f"{PROVENANCE}/{id}.json"
    if name not in records:
        raise FileError(subject, f"has no provenance of {id}", "every case has one", _AGAIN)
    try:
        record = parse_json(records[name].decode())
        recorded = record["files"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise FileError(subject, f"the provenance of {id} is damaged", cure=_AGAIN) from None
    files = {file: sums[file] for file in index.members(id).values() if file in sums}
    if not any(file.startswith((f"{IMAGES}/", f"{LABELS}/")) for file in files):
        raise FileError(subject, f"has neither image nor label map of {id}", "every case has one", _AGAIN)
    if recorded != files:
        raise FileError(subject, f"the files of {id} are not those that its provenance names", cure=_AGAIN)
