"""Hepatobiliary-phase MR of the liver with portal vein, hepatic veins and tumors.

Everything is defined in mm, so that a seed gives the same patient at every size. The classes are those of the data of
3D-LLDM (section 4.1): liver, portal vein, hepatic vein and tumor.
"""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import ClassVar, final

import numpy as np

from medsmith.cases.case import Case, Json
from medsmith.geometry import Geometry
from medsmith.phantoms.family import PhantomFamily
from medsmith.phantoms.liver.anatomy import LiverAnatomy, sample_anatomy
from medsmith.phantoms.liver.organ import FIELD_MM
from medsmith.phantoms.liver.render import CLASSES, Rendered, render, slices
from medsmith.phantoms.liver.signal import NOISE_SHARE, rician, sample_receive_field
from medsmith.phantoms.space import stream

LABELS: Mapping[str, int] = MappingProxyType(
    {"background": 0} | {name: value for value, name in enumerate(CLASSES, start=1)}
)
LARGEST = 2047
"""Largest stored value."""


@final
class LiverMrPhantom(PhantomFamily):
    """MR of the liver after gadoxetate, with up to four tumors."""

    name: ClassVar[str] = "liver-mr"
    revision: ClassVar[int] = 1
    channel_names: ClassVar[tuple[str, ...]] = ("MR",)
    label_names: ClassVar[Mapping[str, int]] = LABELS
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = (32, 192)

    def make(self, seed: int, id: str, size: int) -> Case:
        """A volume of size x size x slices(size) voxels over 320 x 320 x 192 mm, its labels and its report.

        Raises:
            RequestError: the size is not one that this family renders.
        """
        self.require_size(size)
        anatomy = sample_anatomy(seed)
        rendered = render(anatomy, size)
        rng = stream(seed, "scanner")
        low, high = np.log(NOISE_SHARE)
        sd = anatomy.levels["liver"] * float(np.exp(rng.uniform(low, high)))
        receive = sample_receive_field(rng)
        image = rician(rendered.signal * receive.on(rendered.signal.shape), sd, rng)
        scanner = {"noise": round(sd, 2), "receive_field": round(receive.amplitude, 3)}
        return Case(
            id=id,
            image=np.rint(np.minimum(image, LARGEST)).astype(np.float32)[None],
            labels=rendered.labels,
            geometry=_geometry(anatomy, size),
            channel_names=self.channel_names,
            label_names=self.label_names,
            stored=np.dtype(np.int16),
            report=_report(self, anatomy, rendered, scanner),
            provenance=self.provenance(seed, size),
        )


def _geometry(anatomy: LiverAnatomy, size: int) -> Geometry:
    shape = (size, size, slices(size))
    spacing = np.array(FIELD_MM) / shape
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = anatomy.corner + spacing / 2
    return Geometry(shape, affine)


def _report(family: PhantomFamily, anatomy: LiverAnatomy, rendered: Rendered, scanner: Mapping[str, float]) -> Json:
    """Report of the case: its tumors, the liver and the scanner."""
    volumes = {name: round(rendered.volume_ml(share), 2) for name, share in zip(CLASSES, rendered.shares, strict=True)}
    lesions = [
        {**tumor.words(), "section": section, "measured": {"volume_ml": round(rendered.volume_ml(share), 3)}}
        for tumor, section, share in zip(anatomy.tumors, anatomy.sections(), rendered.tumors, strict=True)
    ]
    return {
        "lesions": lesions,
        "phantom": {
            "family": family.name,
            "revision": family.revision,
            "shape": {name: round(value, 3) for name, value in asdict(anatomy.shape).items()},
            "signal": {name: round(anatomy.levels[name], 1) for name in ("liver", "vessels")},
            "volume_ml": volumes,
            "scanner": dict(scanner),
        },
    }
