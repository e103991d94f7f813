"""The arms of the utility experiment: what each network learns from, and how its cases are augmented."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

Augmentation = Literal["strong", "mirrored", "copy-paste"]
Made = Literal["synthetic", "procedural"]


@final
@dataclass(frozen=True)
class Arm:
    """The training data of one network.

    Attributes:
        name: as shown in reports.
        stem: of its file names.
        shares: share of synthetic cases in each batch, phase by phase; each takes an equal part of the gradient steps.
        augmentation: strong; mirroring alone; or copy-paste, then strong.
        more: whether further real cases are added to the subset.
        longer: whether it has twice the steps, to see whether the others have enough.
        made: the cases that are mixed in: those of the generator, or procedural ones, which learned from no image.
    """

    name: str
    stem: str
    shares: tuple[float, ...] = (0.0,)
    augmentation: Augmentation = "strong"
    more: bool = False
    longer: bool = False
    made: Made = "synthetic"

    @property
    def synthetic(self) -> bool:
        """Whether any case is synthetic."""
        return any(self.shares)


REAL = Arm("R", "real")
"""Every gain is over this arm."""
LONGER = Arm("R, twice the steps", "real-longer", longer=True)
MORE = Arm("R + more real cases", "real-more", more=True)


def plan_arms(shares: Sequence[float], mirror: float, *, more: bool, procedural: bool = False) -> list[Arm]:
    """All arms at equal gradient steps; R first.

    Args:
        shares: of synthetic cases in a batch of R + S, and of procedural ones.
        mirror: probability of mirroring; where it is 0, the weakly augmented row has no augmentation at all.
        more: whether there are further real cases.
        procedural: whether there are procedural cases.
    """
    weak = "R, flips only" if mirror else "R, no augmentation"
    return [
        REAL,
        Arm(weak, "real-mirrored", augmentation="mirrored"),
        Arm("R + copy-paste", "real-copy-paste", augmentation="copy-paste"),
        *([MORE] if more else []),
        Arm("S", "synthetic", (1.0,)),
        Arm("S then R", "synthetic-then-real", (1.0, 0.0)),
        *_mixed("R + S", "synthetic", shares),
        *(_mixed("R + procedural", "procedural", shares) if procedural else []),
    ]


def _mixed(name: str, made: Made, shares: Sequence[float]) -> list[Arm]:
    """An arm for each share; the name says it where there are several."""
    return [
        Arm(name if len(shares) == 1 else f"{name}, share {share:g}", f"real-and-{made}-{share:g}", (share,), made=made)
        for share in shares
    ]
