"""How much is trained and measured: a trial in minutes, a run in hours, a run on a GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from medsmith.errors import RequestError


@final
@dataclass(frozen=True)
class Scale:
    """The size of a run.

    Attributes:
        name: as given to the command.
        train: stand-in cases to learn from.
        test: stand-in cases to test on.
        edges: of the networks' grid in 2-D and in 3-D, and of the stand-in cases where their family has so small ones.
        updates: optimizer steps of each row, divided among its stages.
        preset: of every method.
        count: cases of each row.
        subsets: of real cases in the utility experiment.
        seeds: networks of each arm and subset.
        steps: of each segmentation network.
        sampling_steps: of every network; None takes the presets'.
    """

    name: str
    train: int
    test: int
    edges: tuple[int, int]
    updates: int
    preset: str
    count: int
    subsets: int
    seeds: int
    steps: int
    sampling_steps: int | None = None

    def edge(self, dimensions: int) -> int:
        """Of the networks' grid."""
        return self.edges[dimensions - 2]


_ALL = (
    Scale("smoke", 10, 8, (64, 32), 10, "tiny", 6, 1, 1, 2, 2),
    Scale("cpu", 120, 40, (64, 48), 4000, "tiny", 120, 3, 2, 1000),
    Scale("gpu", 800, 200, (256, 128), 300_000, "best", 800, 5, 3, 4000),
)
SCALES: Mapping[str, Scale] = MappingProxyType({each.name: each for each in _ALL})


def find_scale(name: str) -> Scale:
    """The scale of this name.

    Raises:
        RequestError: there is none.
    """
    if name not in SCALES:
        raise RequestError(f"scale {name}", "unknown", f"there are {', '.join(SCALES)}", "give one of them")
    return SCALES[name]
