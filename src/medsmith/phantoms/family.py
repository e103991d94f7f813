"""The base class of phantom families: a family generates one case from one seed."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from medsmith import __version__
from medsmith.cases.case import Case, Json
from medsmith.errors import RequestError


class PhantomFamily(ABC):
    """One kind of procedural case; each family is a final subclass.

    Attributes:
        name: on the command line, and the first part of its case ids.
        revision: raised whenever the bytes of a seed change.
        channel_names: one name per image channel.
        label_names: label name -> value; "background" is 0.
        file_ending: ".png" for pictures, ".nii.gz" for volumes and slices with a spacing.
        dimensions: of its cases.
        lesions: whether its cases have lesions; healthy families keep the label names of those with lesions.
        sizes: smallest and largest edge of the grid in pixels or voxels.
    """

    name: ClassVar[str]
    revision: ClassVar[int]
    channel_names: ClassVar[tuple[str, ...]]
    label_names: ClassVar[Mapping[str, int]]
    file_ending: ClassVar[str]
    dimensions: ClassVar[Literal[2, 3]] = 3
    lesions: ClassVar[bool] = True
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
