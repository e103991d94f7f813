"""Distributions of breast masses, and sampling of one.

The words follow the ultrasound lexicon (shape, margin, orientation, echo pattern, posterior features); the
shares and ranges are chosen to resemble clinical series and describe no population.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from medsmith.phantoms.outline import Form
from medsmith.phantoms.shares import Shares, choose

Range = tuple[float, float]


@final
@dataclass(frozen=True)
class Deviation:
    """How a shape deviates from a circle; ranges are sampled uniformly.

    Attributes:
        ratio: long over short axis of the underlying ellipse.
        waves: angular frequencies of the deviation, lowest and highest.
        rough: root mean square of the deviation, as a fraction of the radius.
        spicules: number of spicules, lowest and highest.
        reach: length of a spicule, as a fraction of the radius.
    """

    ratio: Range
    waves: tuple[int, int]
    rough: Range
    spicules: tuple[int, int] = (0, 0)
    reach: Range = (0.0, 0.0)


@final
@dataclass(frozen=True)
class Kind:
    """One kind of mass: the shares of its attributes (each sums to one).

    Attributes:
        share: of all masses.
        shapes: keys of `DEVIATIONS`.
        margins: keys of `MARGIN_MM`.
        echoes: keys of `CONTRAST_DB`.
        posteriors: keys of `POSTERIOR_DB`.
        tilt_degrees: standard deviation of the long axis's angle to the skin (normal).
        diameter_factor: on the median diameter.
        texture_db: standard deviation of the echo level inside.
    """

    share: float
    shapes: Shares
    margins: Shares
    echoes: Shares
    posteriors: Shares
    tilt_degrees: float
    diameter_factor: float
    texture_db: Range


DIAMETER_MM = (10.5, 0.40)
"""Diameter of the circle of equal area: median, and standard deviation of the logarithm (log-normal)."""
DIAMETER_LIMITS_MM = (5.0, 20.0)
"""Where the distribution of diameters is cut (clipped)."""

DEVIATIONS: Mapping[str, Deviation] = MappingProxyType(
    {
        "round": Deviation(ratio=(1.0, 1.12), waves=(2, 4), rough=(0.005, 0.015)),
        "oval": Deviation(ratio=(1.35, 2.1), waves=(2, 5), rough=(0.01, 0.03)),
        "lobulated": Deviation(ratio=(1.1, 1.7), waves=(3, 5), rough=(0.07, 0.11)),
        "irregular": Deviation(ratio=(1.0, 1.6), waves=(2, 9), rough=(0.13, 0.19)),
        "spiculated": Deviation((1.0, 1.4), (2, 8), (0.06, 0.12), spicules=(7, 14), reach=(0.35, 0.8)),
    }
)
"""Shape -> deviation from a circle."""

MARGIN_MM: Mapping[str, Range] = MappingProxyType({"well-defined": (0.2, 0.6), "ill-defined": (1.2, 3.0)})
"""Margin -> distance in mm over which the echo level goes from 10 % to 90 % of its step (uniform)."""
MARGIN_LIMIT = 1 / 3
"""A margin is at most this fraction of the diameter wide."""

CONTRAST_DB: Mapping[str, Range] = MappingProxyType(
    {
        "anechoic": (-24.0, -16.0),
        "hypoechoic": (-15.0, -8.0),
        "isoechoic": (-5.0, 0.0),
        "hyperechoic": (5.0, 9.0),
    }
)
"""Echo pattern -> mean level inside minus mean level of the tissue around, in dB (uniform)."""

POSTERIOR_DB: Mapping[str, Range] = MappingProxyType(
    {"none": (0.0, 0.0), "enhancement": (3.0, 7.0), "shadowing": (-16.0, -6.0)}
)
"""Posterior feature -> what is added to the levels below the mass, in dB (uniform)."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "cyst": Kind(
            share=0.18,
            shapes={"round": 0.4, "oval": 0.5, "lobulated": 0.1},
            margins={"well-defined": 1.0},
            echoes={"anechoic": 0.85, "hypoechoic": 0.15},
            posteriors={"enhancement": 0.8, "none": 0.2},
            tilt_degrees=8.0,
            diameter_factor=0.95,
            texture_db=(0.3, 1.5),
        ),
        "solid, circumscribed": Kind(
            share=0.42,
            shapes={"round": 0.15, "oval": 0.55, "lobulated": 0.3},
            margins={"well-defined": 0.75, "ill-defined": 0.25},
            echoes={"hypoechoic": 0.72, "isoechoic": 0.22, "hyperechoic": 0.06},
            posteriors={"none": 0.6, "enhancement": 0.3, "shadowing": 0.1},
            tilt_degrees=12.0,
            diameter_factor=1.0,
            texture_db=(1.0, 2.5),
        ),
        "solid, suspicious": Kind(
            share=0.40,
            shapes={"lobulated": 0.2, "irregular": 0.45, "spiculated": 0.35},
            margins={"well-defined": 0.25, "ill-defined": 0.75},
            echoes={"hypoechoic": 0.86, "isoechoic": 0.13, "hyperechoic": 0.01},
            posteriors={"shadowing": 0.6, "none": 0.4},
            tilt_degrees=45.0,
            diameter_factor=1.1,
            texture_db=(1.5, 3.5),
        ),
    }
)
"""Kind of mass -> its share and the shares of its attributes."""


@final
@dataclass(frozen=True)
class Mass:
    """One sampled mass; lengths in mm, levels in dB, the tilt in degrees from the skin towards depth.

    Attributes:
        diameter_mm: of the circle of equal area.
        ratio: long over short axis of the underlying ellipse.
        rough: root mean square deviation from that ellipse, as a fraction of the radius.
        spicules: their number.
        spread: position of its center in the admissible region, two fractions (lateral, depth).
    """

    kind: str
    shape: str
    margin: str
    echo_pattern: str
    posterior: str
    diameter_mm: float
    ratio: float
    rough: float
    spicules: int
    tilt_degrees: float
    margin_mm: float
    contrast_db: float
    posterior_db: float
    texture_db: float
    spread: tuple[float, float]

    @property
    def orientation(self) -> str:
        """Parallel to the skin where the long axis lies within 30 degrees of it."""
        return "parallel" if abs(self.tilt_degrees) <= 30 else "not parallel"

    @property
    def form(self) -> Form:
        """Of its outline."""
        deviation = DEVIATIONS[self.shape]
        return Form(
            diameter_mm=self.diameter_mm,
            ratio=self.ratio,
            tilt_degrees=self.tilt_degrees,
            waves=deviation.waves,
            rough=self.rough,
            spicules=self.spicules,
            reach=deviation.reach,
        )


def sample_mass(rng: np.random.Generator) -> Mass:
    """One mass from the tables of this module."""
    name = choose({kind: row.share for kind, row in KINDS.items()}, rng)
    kind = KINDS[name]
    shape, margin = choose(kind.shapes, rng), choose(kind.margins, rng)
    echo, posterior = choose(kind.echoes, rng), choose(kind.posteriors, rng)
    deviation = DEVIATIONS[shape]
    diameter = _sample_diameter(kind, rng)
    return Mass(
        kind=name,
        shape=shape,
        margin=margin,
        echo_pattern=echo,
        posterior=posterior,
        diameter_mm=diameter,
        ratio=_uniform(deviation.ratio, rng),
        rough=_uniform(deviation.rough, rng),
        spicules=int(rng.integers(*deviation.spicules, endpoint=True)),
        tilt_degrees=_sample_tilt(kind, rng),
        margin_mm=min(_uniform(MARGIN_MM[margin], rng), diameter * MARGIN_LIMIT),
        contrast_db=_uniform(CONTRAST_DB[echo], rng),
        posterior_db=_uniform(POSTERIOR_DB[posterior], rng),
        texture_db=_uniform(kind.texture_db, rng),
        spread=(float(rng.uniform()), float(rng.uniform())),
    )


def _uniform(limits: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))


def _sample_diameter(kind: Kind, rng: np.random.Generator) -> float:
    """Log-normal, clipped."""
    median, spread = DIAMETER_MM
    diameter = median * kind.diameter_factor * np.exp(spread * rng.standard_normal())
    return float(np.clip(diameter, *DIAMETER_LIMITS_MM))


def _sample_tilt(kind: Kind, rng: np.random.Generator) -> float:
    """Normal, folded."""
    return fold_degrees(kind.tilt_degrees * float(rng.standard_normal()))


def fold_degrees(tilt: float) -> float:
    """The equivalent tilt of an undirected axis in (-90, 90]."""
    return 90 - (90 - tilt) % 180
