"""Display windows: which gray values run from black to white."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final


@final
@dataclass(frozen=True)
class Window:
    """A display window.

    Attributes:
        name: shown to the reader.
        level: its middle, in gray values (HU of CT).
        width: from black to white, in the same unit.
    """

    name: str
    level: float
    width: float

    @property
    def low(self) -> float:
        """What is shown black."""
        return self.level - self.width / 2

    @property
    def high(self) -> float:
        """What is shown white."""
        return self.level + self.width / 2


CT_WINDOWS: Mapping[str, Window] = MappingProxyType(
    {
        "soft": Window("Soft tissue", 40, 400),
        "lung": Window("Lung", -600, 1500),
        "bone": Window("Bone", 400, 1800),
        "liver": Window("Liver", 60, 160),
        "brain": Window("Brain", 40, 80),
    }
)
"""Short name -> window of CT, HU."""
