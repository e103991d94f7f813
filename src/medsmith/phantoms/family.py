"""What all phantom families share: how a cohort of procedural cases is written.

A family knows how to make one case from one seed. Everything else (a seed per case, resuming, refusing a
folder that holds something else) is the same for ultrasound, CT, MR and radiographs, and lives here.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from medsmith import __version__
from medsmith.cases.case import Case, Json
from medsmith.cases.cohort import Cohort
from medsmith.cases.layouts import PROVENANCE
from medsmith.errors import CohortError, RequestError
from medsmith.formats.json_file import read_json


class PhantomFamily(ABC):
    """One kind of procedural case; a family is one final subclass.

    Attributes:
        name: what the command line calls it, and the first part of its case ids.
        revision: raised whenever the same seed gives other bytes than before.
        channel_names: one name per image channel.
        label_names: label name -> value; "background" is 0.
        file_ending: ".png" for pictures, ".nii.gz" for volumes.
        sizes: smallest and largest edge of the grid in pixels or voxels.
    """

    name: ClassVar[str]
    revision: ClassVar[int]
    channel_names: ClassVar[tuple[str, ...]]
    label_names: ClassVar[Mapping[str, int]]
    file_ending: ClassVar[str]
    sizes: ClassVar[tuple[int, int]]

    @abstractmethod
    def make(self, seed: int, id: str, size: int) -> Case:
        """One case; the seed alone decides the anatomy, the size only how finely it is rendered.

        Args:
            seed: of this case, 0 or more.
            id: the case's name.
            size: edge of the grid in pixels or voxels, within `sizes`.
        """

    def provenance(self, seed: int, size: int) -> Json:
        """How a case of this family was made; enough to make it again."""
        return {
            "synthetic": True,
            "notice": "Synthetic research data, not for diagnosis",
            "method": f"phantom {self.name}",
            "revision": self.revision,
            "seed": seed,
            "size": size,
            "medsmith": __version__,
        }

    def require_size(self, size: int) -> None:
        """Accepts only sizes that this family can render.

        Raises:
            RequestError: the size lies outside `sizes`.
        """
        low, high = self.sizes
        if not low <= size <= high:
            raise RequestError(
                f"phantom {self.name}",
                f"size {size}",
                f"sizes go from {low} to {high}",
                "change --size",
            )


def case_seed(family: str, seed: int, index: int) -> int:
    """The seed of one case of a cohort: the first 53 bits of a SHA-256, so that JSON readers keep it exactly.

    It does not depend on how many cases are asked for: a shorter cohort is the beginning of a longer one.
    """
    digest = hashlib.sha256(f"medsmith phantom {family} {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def case_id(family: str, index: int) -> str:
    """The name of one case of a cohort."""
    return f"{family}-{index:05d}"


def write_phantom(
    family: PhantomFamily,
    out: Path,
    count: int,
    seed: int,
    size: int,
    say: Callable[[str], None] = lambda _line: None,
) -> Cohort:
    """Writes a cohort of `count` cases; run again, it continues where it was stopped.

    Args:
        family: what to draw.
        out: the cohort's folder, new or begun by the same request.
        count: number of cases, 1 or more.
        seed: of the cohort, 0 or more.
        size: edge of the grid in pixels or voxels.
        say: is told of progress, one line at a time.

    Returns:
        The finished cohort.

    Raises:
        RequestError: count, seed or size cannot be.
        CohortError: the folder holds other cases than these.
    """
    _require_request(family, count, seed, size)
    cohort = Cohort.create(
        out,
        channel_names=family.channel_names,
        label_names=family.label_names,
        file_ending=family.file_ending,
        description=f"Procedural {family.name} phantoms. Synthetic research data, not for diagnosis.",
    )
    seeds = {case_id(family.name, index): case_seed(family.name, seed, index) for index in range(count)}
    _require_own_cases(cohort, family, {name: family.provenance(own, size) for name, own in seeds.items()})
    for done, (name, own_seed) in enumerate(seeds.items(), start=1):
        if name not in cohort:
            cohort.write(family.make(own_seed, name, size))
        if done % 100 == 0 or done == count:
            say(f"{done} of {count} {family.name} phantoms")
    cohort.finish()
    return Cohort.open(out)


def _require_request(family: PhantomFamily, count: int, seed: int, size: int) -> None:
    """Refuses what cannot be made before anything is written."""
    family.require_size(size)
    subject = f"phantom {family.name}"
    if count < 1:
        raise RequestError(subject, f"count {count}", "a cohort has 1 or more cases")
    if seed < 0:
        raise RequestError(subject, f"seed {seed}", "seeds are 0 or more", "choose --seed 0 or more")


def _require_own_cases(cohort: Cohort, family: PhantomFamily, wanted: Mapping[str, Json]) -> None:
    """Refuses a folder with cases that this request would not have made, before anything is written to it."""
    foreign = [name for name in cohort.ids if name not in wanted]
    if foreign:
        raise CohortError(
            cohort.root,
            f"holds {len(foreign)} other cases, {foreign[0]} first",
            f"{len(wanted)} {family.name} phantoms are asked for",
            "choose a new folder",
        )
    for name in cohort.ids:
        _require_same(cohort.root / PROVENANCE / f"{name}.json", wanted[name])


def _require_same(path: Path, wanted: Json) -> None:
    """Refuses to continue a cohort that another seed, size or version began."""
    found = read_json(path)
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    if changed:
        raise CohortError(
            path, f"was made with another {changed[0]}", cure="choose a new folder, or the request that began this one"
        )
