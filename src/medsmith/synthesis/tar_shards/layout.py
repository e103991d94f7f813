"""What lies at a place of tar shards: an index of all, and for each shard an archive and its manifest.

shards.json              recipe, number of cases, cases of a shard, channels and labels
METHOD-000000.tar        CASE.image_0000.nii.gz, CASE.label.nii.gz, CASE.report.json, CASE.json (provenance), next case
METHOD-000000.json       written last: hash, bytes and cases of the archive; without it there is no shard
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsmith.cases.integrity import check_declaration, check_id
from medsmith.cases.nnunet_folder import IMAGES, LABELS, PROVENANCE, REPORTS
from medsmith.errors import CohortError, FileError, SynthesisError
from medsmith.formats.json_file import parse_json
from medsmith.formats.storage import Storage
from medsmith.formats.validation import first_problem
from medsmith.synthesis.missed import Missed
from medsmith.synthesis.plan import Plan
from medsmith.synthesis.tasks import NOTICE, CaseIds, CohortSpec, canonical_hash, first_difference

INDEX = "shards.json"
MOST_SHARD_CASES = 1000
"""Of one shard."""
_LIMIT = 64 * 2**20
_CURE = "choose a new place, or ask for what this one holds"
Content = TypeVar("Content", bound=BaseModel)


@final
class ShardIndex(BaseModel):
    """The content of shards.json.

    Attributes:
        format: version of the file format.
        notice: that all of it is synthetic.
        shard_cases: cases of every shard but the last.
        plan: of all cases; its paths are relative to the folder, and absolute behind a URL.
        spec: of the cohort that the cases make up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    notice: str = NOTICE
    shard_cases: int = Field(ge=1, le=MOST_SHARD_CASES)
    plan: Plan
    spec: CohortSpec

    @property
    def numbers(self) -> range:
        """Of all shards, from 0."""
        return range(-(-self.plan.count // self.shard_cases))

    def ids(self, number: int) -> CaseIds:
        """The cases of a shard."""
        first = number * self.shard_cases
        indices = range(first, min(first + self.shard_cases, self.plan.count))
        return CaseIds(self.plan.recipe.method, indices)

    def indices(self, number: int) -> range:
        """The numbers of the cases of a shard."""
        first = number * self.shard_cases
        return range(first, min(first + self.shard_cases, self.plan.count))

    def archive(self, number: int) -> str:
        """The file name of a shard."""
        return f"{self.plan.recipe.method}-{number:06d}.tar"

    def manifest(self, number: int) -> str:
        """The file name of a shard's manifest."""
        return f"{self.plan.recipe.method}-{number:06d}.json"

    @property
    def recipe_hash(self) -> str:
        """Of what all cases share."""
        return canonical_hash(self.plan.recipe.model_dump(mode="json"))

    def members(self, id: str) -> dict[str, str]:
        """Names in the archive -> files in a cohort that a case can have, in the archive's order."""
        ending = self.spec.file_ending
        images = {
            f"{id}.image_{channel:04d}{ending}": f"{IMAGES}/{id}_{channel:04d}{ending}"
            for channel in range(len(self.spec.channel_names))
        }
        others = {f"{id}.label{ending}": f"{LABELS}/{id}{ending}", f"{id}.report.json": f"{REPORTS}/{id}.json"}
        return images | others | {f"{id}.json": f"{PROVENANCE}/{id}.json"}


@final
class Manifest(BaseModel):
    """What a shard holds; written when it is whole.

    Attributes:
        format: version of the file format.
        notice: that all of it is synthetic.
        recipe: SHA-256 of what all cases share.
        cases: ids of those that are made, in the archive's order.
        missed: those of its cases that are not made since their lesions missed what was requested.
        bytes: of the archive.
        sha256: of the archive.
        attempts: at all cases that are made together.
        refused: check -> number of attempts at them that it refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    notice: str = NOTICE
    recipe: str
    cases: tuple[str, ...]
    missed: Missed = {}
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    attempts: int = Field(ge=0)
    refused: Mapping[str, int] = {}


def parsed(model: type[Content], storage: Storage, name: str) -> Content:
    """A JSON file of a place.

    Raises:
        FileError: it is missing or damaged.
    """
    data, place = storage.read(name, _LIMIT), storage.name_of(name)
    try:
        return model.model_validate(parse_json(data.decode()))
    except ValidationError as error:
        problem = first_problem(error)
        raise FileError(place, problem.found, problem.limit, "restore it") from None
    except (ValueError, RecursionError) as error:
        raise FileError(place, f"not JSON ({error})", cure="restore it") from None


def read_index(storage: Storage) -> ShardIndex:
    """The index of a place.

    Raises:
        FileError: it is missing or damaged.
        CohortError: its names cannot be those of files.
    """
    index = parsed(ShardIndex, storage, INDEX)
    check_id(index.plan.recipe.method)
    spec = index.spec
    check_declaration(Path(storage.name_of(INDEX)), spec.channel_names, spec.label_names, spec.file_ending)
    return index


def matching_manifest(storage: Storage, index: ShardIndex, number: int) -> Manifest:
    """The manifest of a shard.

    Raises:
        FileError: it is missing or damaged, or is of other cases.
    """
    name = index.manifest(number)
    found = parsed(Manifest, storage, name)
    made = [id for id in index.ids(number) if id not in found.missed]
    whole = len(made) + len(found.missed) == len(index.ids(number))
    if found.recipe != index.recipe_hash or list(found.cases) != made or not whole:
        fact = "is of other cases than shards.json names"
        raise FileError(storage.name_of(name), fact, cure="run the command that makes the shards again")
    return found


def check_free(storage: Storage) -> None:
    """Refuse a place that holds something other than shards.

    Raises:
        CohortError: it does.
    """
    names = storage.names()
    if names and INDEX not in names:
        limit = "shards have a place of their own"
        raise CohortError(storage.location, f"holds something else (no {INDEX})", limit, "choose a new place")


def check_same(storage: Storage, wanted: ShardIndex) -> None:
    """Check that a place holds nothing yet, or shards of the same recipe; a larger count extends it.

    Raises:
        SynthesisError: what it holds differs; the message names the first key that does.
        FileError: its index cannot be read.
    """
    if INDEX not in storage.names():
        return
    stored, drop = read_index(storage), {"plan": {"count", "run", "paths"}}
    there, here = (each.model_dump(mode="json", exclude=drop) for each in (stored, wanted))
    if difference := first_difference(there, here):
        place = storage.name_of(INDEX)
        raise SynthesisError(place, f"another plan: {difference}", "one place has one recipe", _CURE)
    if wanted.plan.count < stored.plan.count:
        found = f"another plan: count is {stored.plan.count} there and {wanted.plan.count} here"
        raise SynthesisError(storage.name_of(INDEX), found, "a count can only grow", _CURE)
