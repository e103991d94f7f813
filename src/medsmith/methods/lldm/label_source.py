"""Label maps of the training cohort that a run keeps, as the start of deformed ones."""

from collections.abc import Mapping

from torch import Tensor

from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.methods.label_maps import DrawnMap
from medsmith.methods.lldm.config import LldmConfig
from medsmith.methods.lldm.label_bank import kept_map, number_kept


def training_map(memory: Mapping[str, Tensor], facts: Fingerprint, config: LldmConfig, seed: int) -> DrawnMap:
    """A map of the training cohort, chosen by a seed.

    Raises:
        RequestError: the run keeps no maps.
        RunError: they are damaged.
    """
    count = number_kept(memory)
    if not count:
        found = "deformed, but this run keeps no label maps (kept_maps = 0)"
        raise RequestError("maps", found, "generated", "ask for these, or give label maps (labels)")
    index = derive_seed(seed, "map") % count
    labels, extent = kept_map(memory, index, config.size, 1 + len(facts.foreground_labels))
    return DrawnMap(labels, extent, {"training_map": index})
