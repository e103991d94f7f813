"""The phantom families by their name on the command line."""

from collections.abc import Mapping
from types import MappingProxyType

from medsmith.errors import RequestError
from medsmith.phantoms.breast.phantom import BreastPhantom
from medsmith.phantoms.chest.phantom import ChestPhantom, HealthyChestPhantom
from medsmith.phantoms.ct.phantom import CtHeadPhantom, CtPhantom, HealthyCtHeadPhantom, HealthyCtPhantom
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.liver.phantom import LiverMrPhantom

_ALL = (
    BreastPhantom(),
    ChestPhantom(),
    HealthyChestPhantom(),
    CtPhantom(),
    HealthyCtPhantom(),
    CtHeadPhantom(),
    HealthyCtHeadPhantom(),
    LiverMrPhantom(),
)
FAMILIES: Mapping[str, PhantomFamily] = MappingProxyType({family.name: family for family in _ALL})


def find_family(name: str) -> PhantomFamily:
    """The family of this name.

    Raises:
        RequestError: there is none.
    """
    if name not in FAMILIES:
        raise RequestError(f"phantom {name}", "no such family", f"there are {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]
