"""The phantom families by their name on the command line."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import RequestError, similar
from medsmith.phantoms.breast.phantom import BreastPhantom
from medsmith.phantoms.chest.phantom import ChestPhantom, HealthyChestPhantom
from medsmith.phantoms.ct.phantom import (
    CtHeadPhantom,
    CtPhantom,
    HealthyCtHeadPhantom,
    HealthyCtPhantom,
    VariedCtPhantom,
)
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.limb.phantom import LimbCtPhantom, LimbMrPhantom
from medsmith.phantoms.liver.phantom import LiverMrPhantom
from medsmith.phantoms.writing import write_phantom
from medsmith.progress import Progress

_ALL = (
    BreastPhantom(),
    ChestPhantom(),
    HealthyChestPhantom(),
    CtPhantom(),
    HealthyCtPhantom(),
    VariedCtPhantom(),
    CtHeadPhantom(),
    HealthyCtHeadPhantom(),
    LimbCtPhantom(),
    LimbMrPhantom(),
    LiverMrPhantom(),
)
FAMILIES: Mapping[str, PhantomFamily] = MappingProxyType({family.name: family for family in _ALL})


def find_family(name: str) -> PhantomFamily:
    """The family of this name.

    Raises:
        RequestError: there is none.
    """
    if name not in FAMILIES:
        limit, cure = f"there are {', '.join(sorted(FAMILIES))}", similar(name, FAMILIES)
        raise RequestError(f"phantom {name}", "no such family", limit, cure)
    return FAMILIES[name]


def phantom(
    family: str,
    out: Path | str,
    count: int = 100,
    *,
    seed: int = 0,
    size: int = 128,
    like: CohortLike | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Writes a cohort of procedural cases; a second call resumes an interrupted one (see ``writing.write_phantom``).

    Args:
        family: key of ``FAMILIES``, such as "ct".
        out: the cohort's folder.
        count: number of cases.
        seed: of the cohort.
        size: edge of the grid in pixels or voxels.
        like: cohort whose labels, channel names and gray values the phantoms take over, to train beside its cases.
        progress: of the cases.

    Raises:
        RequestError: there is no such family, or count, seed or size is out of range.
        CohortError: the folder holds other cases, another process writes to it, or the family does not show what
            ``like`` does.
    """
    shown = None if like is None else as_cohort(like)
    return write_phantom(find_family(family), Path(out), count, seed, size, progress, shown)
