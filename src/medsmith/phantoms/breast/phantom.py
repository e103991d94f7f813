"""Breast ultrasound with one mass: layered tissue, speckle, and a mass with exactly known attributes.

Everything is rendered on one native grid (0.15 mm) and averaged down, so that a seed gives the same anatomy at
every size. Echo levels are in dB below white; the picture is their log-compressed envelope, 8-bit gray.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import label as components
from scipy.special import ndtr

from medsmith.cases.case import Case, Json
from medsmith.geometry import Geometry
from medsmith.phantoms.breast.masses import Mass, sample_mass
from medsmith.phantoms.breast.tissue import Tissue, sample_tissue
from medsmith.phantoms.breast.ultrasound import Probe, b_mode
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.fields import (
    FIELD_MM,
    NATIVE,
    NATIVE_MM,
    Field,
    area_average,
    smooth_field,
)
from medsmith.phantoms.outline import Outline, sample_outline, signed_distance

SHELL_MM = (1.5, 4.5)
"""Inner and outer distance from the mass's edge of the shell that stands for its surroundings."""
RIM_DB = {"anechoic": 4.0, "hypoechoic": 5.0, "isoechoic": 7.0, "hyperechoic": 2.0}
"""Highest level of the bright rim above the tissue, in dB (uniform from 0)."""
RISE = 2 * 1.2815515655446004
"""Distance between the 10 % and 90 % points of a Gaussian edge, in standard deviations."""


@final
@dataclass(frozen=True, eq=False)
class Scene:
    """The ground truth of a case before the image is simulated; native grid.

    Attributes:
        mass: the sampled attributes.
        outline: its edge in place.
        coverage: share of each pixel that lies within that edge.
        distance_mm: to that edge, negative inside.
        share: of a pixel's echo that comes from the mass, 0..1; one half at the edge.
        echo_db: mean echo level of tissue and mass, without gain.
        gain_db: added by propagation: attenuation, time gain, shadows, the mass's own posterior feature.
        surroundings_db: mean echo level of the tissue around the mass.
        tissue: the breast without the mass.
        speckle: generator of the speckle.
    """

    mass: Mass
    outline: Outline
    coverage: Field
    distance_mm: Field
    share: Field
    echo_db: Field
    gain_db: Field
    surroundings_db: float
    tissue: Tissue
    speckle: np.random.Generator


@final
class BreastPhantom(PhantomFamily):
    """Breast ultrasound, 2-D, one mass per case."""

    name: ClassVar[str] = "breast"
    revision: ClassVar[int] = 1
    channel_names: ClassVar[tuple[str, ...]] = ("ultrasound",)
    label_names: ClassVar[Mapping[str, int]] = MappingProxyType({"background": 0, "lesion": 1})
    file_ending: ClassVar[str] = ".png"
    dimensions: ClassVar[Literal[2, 3]] = 2
    sizes: ClassVar[tuple[int, int]] = (32, NATIVE)

    def make(self, seed: int, id: str, size: int) -> Case:
        """One breast picture of size x size pixels over 38.4 mm, its mask and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        self.require_size(size)
        scene = sample_scene(seed)
        picture = b_mode(scene.echo_db, scene.gain_db, Probe(), scene.speckle)
        gray = np.rint(area_average(picture, size)).astype(np.uint8)
        mask = render_mask(scene, size)
        return Case(
            id=id,
            image=np.ascontiguousarray(gray.T, dtype=np.float32)[None, :, :, None],
            labels=np.ascontiguousarray(mask.T)[:, :, None],
            geometry=Geometry.plain((size, size, 1)),
            channel_names=self.channel_names,
            label_names=self.label_names,
            stored=np.dtype(np.uint8),
            report=_report(self, scene, gray, mask),
            provenance=self.provenance(seed, size),
        )


def make_breast_case(seed: int, id: str, size: int = 128) -> Case:
    """One breast phantom; see `BreastPhantom.make`."""
    return BreastPhantom().make(seed, id, size)


def sample_scene(seed: int) -> Scene:
    """The anatomy of one seed; tissue, mass and speckle each have their own stream of random numbers."""
    streams = [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(4)]
    tissue_rng, mass_rng, inside_rng, speckle = streams
    tissue = sample_tissue(tissue_rng)
    mass = sample_mass(mass_rng)
    outline = _place(sample_outline(mass.form, mass_rng), mass, tissue)
    coverage = outline.coverage()
    distance = signed_distance(coverage > 0.5)
    share: Field = ndtr(-distance * (RISE / mass.margin_mm))
    surroundings_db = float(tissue.echo_db[_shell(distance)].mean())
    echo = _with_mass(tissue.echo_db, mass, distance, share, surroundings_db, inside_rng)
    gain = tissue.gain_db + _posterior(mass, share)
    return Scene(mass, outline, coverage, distance, share, echo, gain, surroundings_db, tissue, speckle)


def render_mask(scene: Scene, size: int) -> UInt8[np.ndarray, "m m"]:
    """Pixels of which at least half lies in the mass; their largest connected part ([depth, lateral])."""
    inside = area_average(scene.coverage, size) >= 0.5
    parts, _count = components(inside)
    largest = np.argmax(np.bincount(parts.ravel())[1:]) + 1
    mask: UInt8[np.ndarray, "m m"] = (parts == largest).astype(np.uint8)
    return mask


def _place(outline: Outline, mass: Mass, tissue: Tissue) -> Outline:
    """Moves an outline to the sampled position: fully in view, between skin and chest wall."""
    (left, top), (right, bottom) = outline.points.min(axis=0), outline.points.max(axis=0)
    lateral = _within(1.0 - left, FIELD_MM - 1.0 - right, mass.spread[0])
    column = int(np.clip(lateral / NATIVE_MM, 0, NATIVE - 1))
    skin, muscle = (float(tissue.boundaries_mm[name][column]) for name in ("skin", "muscle"))
    highest = skin + 0.8 - top
    lowest = min(max(muscle - bottom, highest), FIELD_MM - 1.5 - bottom)
    return Outline(outline.radii, (lateral, _within(highest, max(lowest, highest), mass.spread[1])))


def _within(low: float, high: float, fraction: float) -> float:
    return float(low + (high - low) * fraction)


def _shell(distance_mm: Field) -> Bool[np.ndarray, "n n"]:
    """The tissue around a mass."""
    shell: Bool[np.ndarray, "n n"] = (distance_mm > SHELL_MM[0]) & (distance_mm <= SHELL_MM[1])
    return shell


def _with_mass(
    echo: Field, mass: Mass, distance: Field, share: Field, around: float, rng: np.random.Generator
) -> Field:
    """The mass in place of the tissue; its texture is centerd, so that its mean level is the sampled one."""
    texture = smooth_field(rng, 0.9, 1.4) + 0.8 * smooth_field(rng, 2.2, 2.8)
    core = distance <= 0
    texture = mass.texture_db * (texture - texture[core].mean()) / texture[core].std()
    inside = around + mass.contrast_db + texture
    with_mass: Field = echo * (1 - share) + inside * share + _rim(mass, distance, rng)
    return with_mass


def _rim(mass: Mass, distance: Field, rng: np.random.Generator) -> Field:
    """A thin bright capsule around a well-defined mass, a broad halo around an ill-defined one."""
    width = 0.25 if mass.margin == "well-defined" else 0.9
    level = RIM_DB[mass.echo_pattern] * rng.uniform() * np.clip(0.7 + 0.5 * smooth_field(rng, 4.0, 4.0), 0, 1.5)
    rim: Field = level * np.exp(-0.5 * ((distance - 1.3 * width) / width) ** 2) * (distance > 0)
    return rim


def _posterior(mass: Mass, share: Field) -> Field:
    """Grows with the path through the mass up to the sampled level below its thickest part; 0 inside it."""
    path_mm = np.cumsum(share, axis=0) * NATIVE_MM
    below: Field = mass.posterior_db * (path_mm / path_mm.max()) ** 0.7 * (1 - share)
    return below


def _report(
    family: BreastPhantom, scene: Scene, gray: UInt8[np.ndarray, "m m"], mask: UInt8[np.ndarray, "m m"]
) -> Json:
    """Report of the case: sampled attributes, and measures of the stored image."""
    return {
        "lesions": [{**_attributes(scene), "measured": _measured(scene, gray, mask)}],
        "phantom": {
            "family": family.name,
            "revision": family.revision,
            "mm_per_pixel": FIELD_MM / mask.shape[0],
            "probe": vars(Probe()),
            **scene.tissue.found,
        },
    }


def _attributes(scene: Scene) -> dict[str, Any]:
    """The mass in words and sampled numbers."""
    mass, outline = scene.mass, scene.outline
    numbers = {
        "equivalent_diameter_mm": mass.diameter_mm,
        "longest_diameter_mm": outline.longest_diameter_mm,
        "area_mm2": outline.area_mm2,
        "circularity": outline.circularity,
        "solidity": outline.solidity,
        "axis_ratio": mass.ratio,
        "tilt_degrees": mass.tilt_degrees,
        "margin_width_mm": mass.margin_mm,
        "contrast_db": mass.contrast_db,
        "texture_db": mass.texture_db,
        "posterior_db": mass.posterior_db,
    }
    return {
        "label": "lesion",
        "kind": mass.kind,
        "shape": mass.shape,
        "margin": mass.margin,
        "orientation": mass.orientation,
        "echo_pattern": mass.echo_pattern,
        "posterior": mass.posterior,
        "spicules": mass.spicules,
        "centre_mm": [round(position, 3) for position in outline.center],
        **{name: round(value, 3) for name, value in numbers.items()},
    }


def _measured(scene: Scene, gray: UInt8[np.ndarray, "m m"], mask: UInt8[np.ndarray, "m m"]) -> dict[str, Any]:
    """Pixels of the mask, and mean gray values of the mass and of the tissue around it."""
    distance = area_average(scene.distance_mm, mask.shape[0])
    inside, around = (float(gray[region].mean()) for region in (mask > 0, _shell(distance)))
    return {
        "pixels": int(mask.sum()),
        "grey_inside": round(inside, 3),
        "grey_around": round(around, 3),
        "contrast_grey": round(inside - around, 3),
    }
