"""Packs the cases of one shard: the archive first, then its manifest, then the files of the cases are removed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from medsmith.cases.nnunet_folder import PROVENANCE, UNFINISHED
from medsmith.errors import FileError
from medsmith.formats.atomic import json_bytes, remove
from medsmith.formats.hashing import HashingWriter
from medsmith.formats.json_file import read_json
from medsmith.formats.storage import Storage
from medsmith.formats.tar import write_tar
from medsmith.synthesis.missed import Missed
from medsmith.synthesis.tar_shards.layout import Manifest, ShardIndex, matching_manifest


def valid_manifest(storage: Storage, index: ShardIndex, number: int, names: set[str]) -> Manifest | None:
    """The manifest of a shard that is whole; None where the shard has to be made.

    Args:
        storage: of the shards.
        index: of the shards.
        number: of the shard.
        names: of all files there.
    """
    if not {index.manifest(number), index.archive(number)} <= names:
        return None
    with suppress(FileError):
        found = matching_manifest(storage, index, number)
        if storage.size(index.archive(number)) == found.bytes:
            return found
    return None


def pack(storage: Storage, index: ShardIndex, number: int, cases: Path, missed: Missed) -> None:
    """Write a shard and remove the files of its cases.

    Args:
        storage: receives archive and manifest.
        index: of the shards.
        number: of the shard.
        cases: folder in which all its other cases are whole.
        missed: those of its cases that are not made.

    Raises:
        FileError: a file cannot be read or written.
    """
    ids = [id for id in index.ids(number) if id not in missed]
    attempts, refused = 0, Counter[str]()
    for id in ids:
        record = read_json(cases / PROVENANCE / f"{id}.json")
        attempts += record["attempt"] + 1
        refused.update(record["refused"])
    storage.remove(index.manifest(number))
    with storage.writing(index.archive(number)) as file:
        target = HashingWriter(file)
        write_tar(target, _files(index, ids, cases))
    manifest = Manifest(
        recipe=index.recipe_hash,
        cases=tuple(ids),
        missed=dict(sorted(missed.items())),
        bytes=target.count,
        sha256=target.sha256,
        attempts=attempts,
        refused=dict(refused),
    )
    name = index.manifest(number)
    storage.write(name, json_bytes(storage.name_of(name), manifest.model_dump(mode="json")))
    for id in ids:
        for name in reversed(list(index.members(id).values())):  # the provenance first
            remove(cases / name)
        remove(cases / PROVENANCE / f"{id}{UNFINISHED}")


def _files(index: ShardIndex, ids: Sequence[str], cases: Path) -> Iterator[tuple[str, Path]]:
    for id in ids:
        for member, name in index.members(id).items():
            if (cases / name).exists():
                yield member, cases / name
