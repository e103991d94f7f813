"""Lesion generators: LMNet or a deformed ellipsoid samples the mask, LINet the intensities.

Axes: s s s a cube around the lesion, x y z of the patient along right, anterior, superior.
"""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from medsmith.diffusion import Observe, Sampling, keep_outside
from medsmith.geometry import Geometry
from medsmith.insertion.box import Box
from medsmith.insertion.context import context_of
from medsmith.insertion.frame import Frame, FrameConfig
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.shape import Field, deformed_ellipsoid
from medsmith.methods.lesiondiffusion.linet import LINet
from medsmith.methods.lesiondiffusion.linet_mask import linet_mask
from medsmith.methods.lesiondiffusion.linet_origin import about_origin, from_origin, origin_hu, report_about
from medsmith.methods.lesiondiffusion.lmnet import LMNet, context_of_batch
from medsmith.networks.latent import LatentSpace, on_latent_grid
from medsmith.networks.tiling import decode_in_tiles, encode_in_tiles
from medsmith.reports.schema import LesionReport
from medsmith.reports.typical import typically_homogeneous
from medsmith.text.encoded_vocabulary import EncodedVocabulary


@runtime_checkable
class MaskSampler(Protocol):
    """Samples the mask of a lesion."""

    def __call__(self, organ_map: OrganMap, frame: Frame, box: Box, report: LesionReport, seed: int) -> Field:
        """A field on the cube, positive inside the lesion."""
        ...


@runtime_checkable
class IntensitySampler(Protocol):
    """Samples the intensities of a lesion."""

    def __call__(
        self, image: Field, share: Field, frame: Frame, report: LesionReport, level: float | None, seed: int
    ) -> Field:
        """The cube's image in HU with the lesion.

        Args:
            image: the cube without the lesion, HU.
            share: of each voxel inside the lesion.
            frame: the cube.
            report: of the lesion.
            level: of the organ around it, HU; None if unknown.
            seed: of the noise.
        """
        ...


@final
@dataclass(frozen=True)
class LesionGenerator:
    """Samplers of mask and intensities with their cubes.

    Attributes:
        sample_mask: of the shape.
        sample_intensities: of the intensities.
        cubes: settings of the two cubes.
        levels: candidate thresholds of the field.
    """

    sample_mask: MaskSampler
    sample_intensities: IntensitySampler
    cubes: tuple[FrameConfig, FrameConfig]
    levels: tuple[float, ...]

    def frames(self, box: Box, scan: Geometry) -> tuple[Frame, Frame]:
        """The mask and intensity cubes around a box."""
        mask, intensities = (config.about(box, scan) for config in self.cubes)
        return mask, intensities


@final
@dataclass(frozen=True)
class EllipsoidSampler:
    """Elastically deformed ellipsoids, regardless of the report."""

    def __call__(self, organ_map: OrganMap, frame: Frame, box: Box, report: LesionReport, seed: int) -> Field:  # noqa: ARG002
        """One deformed ellipsoid."""
        return deformed_ellipsoid(frame, box, np.random.Generator(np.random.PCG64(seed)))


@final
@dataclass(frozen=True)
class LMNetSampler:
    """Samples a mask with LMNet.

    Attributes:
        net: the network.
        words: its vocabulary.
        guidance: weight of classifier-free guidance.
        sampling: solver and steps.
        observe: called after every sampling step.
    """

    net: LMNet
    words: EncodedVocabulary
    guidance: float
    sampling: Sampling
    observe: Observe | None = None

    def __call__(self, organ_map: OrganMap, frame: Frame, box: Box, report: LesionReport, seed: int) -> Field:
        """The sampled mask, -1 outside and 1 inside."""
        config, device = self.net.config, next(self.net.parameters()).device
        context = context_of(organ_map.labels, organ_map.names, frame, box, report.organ, config.organs)
        named = {"organ": context.target, "other_organs": context.others, "box": context.box}
        channels = context_of_batch({key: torch.from_numpy(value)[None] for key, value in named.items()})
        words, null = self.words.of(report).to(device), self.words.null.to(device)
        field = self.net.process.sample_one(
            self.net.denoiser(channels.to(device), words, null, self.guidance),
            (1, *[frame.size] * 3),
            seed,
            self.sampling,
            device=device,
            observe=self.observe,
        )
        return np.asarray(gaussian_filter(field[0].numpy(), config.smoothing, mode="nearest"))


@final
@dataclass(frozen=True)
class LINetSampler:
    """Samples the intensities of a lesion with LINet.

    Attributes:
        net: the network.
        space: maps images to the diffused state and back.
        words: its vocabulary.
        guidance: weight of classifier-free guidance.
        sampling: solver and steps.
        observe: called after every sampling step.
    """

    net: LINet
    space: LatentSpace
    words: EncodedVocabulary
    guidance: float
    sampling: Sampling
    observe: Observe | None = None

    def __call__(
        self, image: Field, share: Field, frame: Frame, report: LesionReport, level: float | None, seed: int
    ) -> Field:
        """The cube with the lesion, HU."""
        config, device = self.net.config, next(self.net.parameters()).device
        given = linet_mask(share, frame.spacing_mm, report, config)
        lesion, region = (torch.from_numpy(each)[None, None].to(device) for each in given)
        origin = origin_hu(level, config)
        cube = torch.from_numpy(about_origin(image, origin))[None, None].to(device)
        whole = frame.size // self.space.factor  # one tile, where memory holds it
        background = encode_in_tiles(self.space, cube, whole)
        lesion, region = (on_latent_grid(each, self.space.factor) for each in (lesion, region))
        words, null = self.words.of(report_about(report, origin)).to(device), self.words.null.to(device)
        state = self.net.process.sample_one(
            self.net.denoiser(lesion, region, words, null, self.guidance),
            tuple(background.shape[1:]),
            seed,
            self.sampling,
            device=device,
            temperature=config.homogeneous if typically_homogeneous(report) else 1.0,
            corrections=(keep_outside(region, background),),
            observe=self.observe,
        )
        synthetic = decode_in_tiles(self.space, state[None].to(device), whole).cpu()[0, 0]
        return from_origin(synthetic.numpy(), origin)
