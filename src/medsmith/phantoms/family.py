"""The base class of phantom families, and writing of a cohort of procedural cases.

A family generates one case from one seed. What all families share is here: a seed per case, resuming, and refusing
a folder with other content.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from medsmith import __version__
from medsmith.cases.case import Case, Json
from medsmith.cases.cohort import Cohort
from medsmith.cases.integrity import MOST_CASES
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import CohortError, RequestError
from medsmith.formats.json_file import read_json
from medsmith.formats.lock import hold_output
from medsmith.progress import NullProgress, Progress, advancing


class PhantomFamily(ABC):
    """One kind of procedural case; each family is a final subclass.

    Attributes:
        name: on the command line, and the first part of its case ids.
        revision: raised whenever the bytes of a seed change.
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
        """One case; the seed decides the anatomy, the size only the resolution.

        Args:
            seed: of this case, 0 or more.
            id: of the case.
            size: edge of the grid in pixels or voxels, within `sizes`.
        """

    def provenance(self, seed: int, size: int) -> Json:
        """Provenance of a case: everything needed to generate it again."""
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
        """Checks that this family can render a size.

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
    """The seed of one case of a cohort: the first 53 bits of a SHA-256, which JSON readers keep exactly.

    It does not depend on the number of cases, so a shorter cohort is a prefix of a longer one.
    """
    digest = hashlib.sha256(f"medsmith phantom {family} {seed} {index}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 11


def case_id(family: str, index: int) -> str:
    """The id of one case of a cohort."""
    return f"{family}-{index:05d}"


def write_phantom(
    family: PhantomFamily,
    out: Path,
    count: int,
    seed: int,
    size: int,
    progress: Progress | None = None,
) -> Cohort:
    """Writes a cohort of `count` cases; a second call resumes an interrupted one.

    Args:
        family: of the cases.
        out: the cohort's folder, new or from an interrupted call with the same arguments.
        count: number of cases, 1 or more.
        seed: of the cohort, 0 or more.
        size: edge of the grid in pixels or voxels.
        progress: of the cases.

    Returns:
        The finished cohort.

    Raises:
        RequestError: count, seed or size is out of range.
        CohortError: the folder holds other cases, or another process writes to it.
    """
    _require_request(family, count, seed, size)
    with hold_output(out):
        cohort = Cohort.create(
            out,
            channel_names=family.channel_names,
            label_names=family.label_names,
            file_ending=family.file_ending,
            description=f"Procedural {family.name} phantoms. Synthetic research data, not for diagnosis.",
        )
        seeds = {case_id(family.name, index): case_seed(family.name, seed, index) for index in range(count)}
        _require_own_cases(cohort, family, {name: family.provenance(own, size) for name, own in seeds.items()})
        missing = [name for name in seeds if name not in cohort]
        with (progress or NullProgress()).task(f"phantom {family.name}", count, count - len(missing)) as advance:
            cohort.write_all(missing, advancing(lambda name: family.make(seeds[name], name, size), advance))
        cohort.finish()
    return Cohort.open(out)


def _require_request(family: PhantomFamily, count: int, seed: int, size: int) -> None:
    """Checks the arguments before anything is written."""
    family.require_size(size)
    subject = f"phantom {family.name}"
    if not 1 <= count <= MOST_CASES:
        raise RequestError(subject, f"count {count}", f"a cohort has 1 to {MOST_CASES} cases")
    if seed < 0:
        raise RequestError(subject, f"seed {seed}", "seeds are 0 or more", "choose --seed 0 or more")


def _require_own_cases(cohort: Cohort, family: PhantomFamily, wanted: Mapping[str, Json]) -> None:
    """Refuses a folder with other cases, before anything is written."""
    foreign = [name for name in cohort.ids if name not in wanted]
    if foreign:
        raise CohortError(
            cohort.root,
            f"holds {len(foreign)} other cases, {foreign[0]} first",
            f"{len(wanted)} {family.name} phantoms are requested",
            "choose a new folder",
        )
    for name in cohort.ids:
        _require_same(cohort.root / PROVENANCE / f"{name}.json", wanted[name])


def _require_same(path: Path, wanted: Json) -> None:
    """Refuses to resume a cohort of another seed, size or version."""
    found = read_json(path)
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    if changed:
        raise CohortError(
            path,
            f"was made with another {changed[0]}",
            cure="choose a new folder, or the options that started this one",
        )
