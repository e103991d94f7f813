"""What draws: LMNet or a deformed ellipsoid gives the shape, LINet the paint.

Axes: s s s a cube about the lesion, x y z of the patient along right, anterior, superior.
"""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from medsmith.case import Geometry
from medsmith.conditioning.schema import LesionReport
from medsmith.data.hounsfield_scale import hu_to_model, model_to_hu
from medsmith.diffusion import Observe, Sampling, keep_outside
from medsmith.insertion.box import Box
from medsmith.insertion.frame import Frame
from medsmith.insertion.organ_map import OrganMap
from medsmith.methods.lesiondiffusion.config import FrameConfig
from medsmith.methods.lesiondiffusion.examples import painted_region
from medsmith.methods.lesiondiffusion.linet import LINet
from medsmith.methods.lesiondiffusion.lmnet import LMNet, site_of
from medsmith.methods.lesiondiffusion.shaping import Field, ellipsoid
from medsmith.methods.lesiondiffusion.site import cube_about, look_around
from medsmith.methods.lesiondiffusion.vocabularies import Vocabulary
from medsmith.networks.latent import LatentSpace, on_latent_grid


@runtime_checkable
class Shaper(Protocol):
    """Gives a lesion its shape."""

    def __call__(self, organ_map: OrganMap, frame: Frame, box: Box, report: LesionReport, seed: int) -> Field:
        """A field on the cube, positive inside the lesion."""
        ...


@runtime_checkable
class Painter(Protocol):
    """Gives a lesion its look."""

    def __call__(self, image: Field, share: Field, frame: Frame, report: LesionReport, seed: int) -> Field:
        """The cube's image in HU with the lesion, whose share of each voxel is given, in it."""
        ...


@final
@dataclass(frozen=True)
class Artist:
    """Shape and paint with the cubes they are drawn in.

    Attributes:
        shape: gives the shape.
        paint: gives the look.
        cubes: settings of the two cubes.
        reach_mm: how far outside the mask is painted.
        levels: thresholds of the field that are tried.
    """

    shape: Shaper
    paint: Painter
    cubes: tuple[FrameConfig, FrameConfig]
    reach_mm: float
    levels: tuple[float, ...]

    def frames(self, box: Box, scan: Geometry) -> tuple[Frame, Frame]:
        """The cubes of shape and of paint about a box."""
        shaping, painting = (cube_about(box, scan, config) for config in self.cubes)
        return shaping, painting


@final
@dataclass(frozen=True)
class EllipsoidShaper:
    """Hand-made ellipsoids with an elastic deformation, whatever the words say."""

    def __call__(self, organ_map: OrganMap, frame: Frame, box: Box, report: LesionReport, seed: int) -> Field:  # noqa: ARG002
        """One deformed ellipsoid."""
        return ellipsoid(frame, box, np.random.Generator(np.random.PCG64(seed)))


@final
@dataclass(frozen=True)
class LmnetShaper:
    """Samples a mask with LMNet.

    Attributes:
        net: the network.
        words: its vocabulary.
        guidance: weight of classifier-free guidance.
        sampling: solver and steps.
        observe: told of every sampling step.
    """

    net: LMNet
    words: Vocabulary
    guidance: float
    sampling: Sampling
    observe: Observe | None = None

    def __call__(self, organ_map: OrganMap, frame: Frame, box: Box, report: LesionReport, seed: int) -> Field:
        """The network's mask, -1 outside and 1 inside."""
        config, device = self.net.config, next(self.net.parameters()).device
        seen = look_around(organ_map.labels, organ_map.names, frame, frame.inside(box), report.organ, config)
        site = {key: torch.from_numpy(value)[None] for key, value in vars(seen).items()}
        words, null = self.words.of(report).to(device), self.words.null.to(device)
        field = self.net.process.sample_one(
            self.net.denoiser(site_of(site).to(device), words, null, self.guidance),
            (1, *[frame.size] * 3),
            seed,
            self.sampling,
            device=device,
            observe=self.observe,
        )
        return np.asarray(gaussian_filter(field[0].numpy(), config.smoothing, mode="nearest"))


@final
@dataclass(frozen=True)
class LinetPainter:
    """Samples the inside of a lesion with LINet.

    Attributes:
        net: the network.
        space: between images and what is diffused.
        words: its vocabulary.
        guidance: weight of classifier-free guidance.
        sampling: solver and steps.
        observe: told of every sampling step.
    """

    net: LINet
    space: LatentSpace
    words: Vocabulary
    guidance: float
    sampling: Sampling
    observe: Observe | None = None

    def __call__(self, image: Field, share: Field, frame: Frame, report: LesionReport, seed: int) -> Field:
        """The cube with the lesion, HU."""
        config, device = self.net.config, next(self.net.parameters()).device
        region = painted_region(share, frame.spacing_mm, config).astype(np.float32)
        lesion, painted = (torch.from_numpy(each)[None, None].to(device) for each in (share, region))
        with torch.inference_mode():
            background = self.space.encode(torch.from_numpy(hu_to_model(image))[None, None].to(device))
        lesion, painted = (on_latent_grid(each, self.space.factor) for each in (lesion, painted))
        words, null = self.words.of(report).to(device), self.words.null.to(device)
        state = self.net.process.sample_one(
            self.net.denoiser(lesion, painted, words, null, self.guidance),
            tuple(background.shape[1:]),
            seed,
            self.sampling,
            device=device,
            temperature=config.homogeneous if report.density_variation == "homogeneous" else 1.0,
            corrections=(keep_outside(painted, background),),
            observe=self.observe,
        )
        with torch.inference_mode():
            drawn = self.space.decode(state[None].to(device)).cpu()[0, 0]
        return model_to_hu(drawn.numpy())
