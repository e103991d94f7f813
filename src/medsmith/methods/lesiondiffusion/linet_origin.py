"""The density that is 0 in the images that LINet sees.

Words of density are set against the organ: of one that is isodense only the organ tells the HU. With the organ at 0 a
word means the same in every organ, with contrast agent or without.

Axes: s s s LINet's cube.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32

from medsmith.data.hounsfield_scale import hu_to_model, model_to_hu
from medsmith.insertion.shape import Field
from medsmith.methods.lesiondiffusion.config import PaintConfig
from medsmith.reports.schema import LesionReport

ORIGINS_HU: Final = (0.0, 200.0)
"""Least and greatest: soft tissue. Lesions of the lung are as dense as soft tissue, and what is set against air is
far from 0."""


def origin_hu(level: float | None, config: PaintConfig) -> float:
    """The density that is 0, HU: that of water, or of the organ within ``ORIGINS_HU``.

    In latent space it is water, as in the images that the VQGAN learns.

    Args:
        level: of the organ around the lesion, HU; None if unknown.
        config: of LINet.
    """
    if config.origin == "water" or config.space == "latent" or level is None:
        return 0.0
    return float(np.clip(level, *ORIGINS_HU))


def about_origin(image: Field, origin: float) -> Field:
    """An image in HU, in model space about the origin."""
    shifted: Field = hu_to_model(image) - _shift(origin)
    return shifted


def from_origin(image: Field, origin: float) -> Field:
    """The inverse of ``about_origin``, HU."""
    return model_to_hu(image + _shift(origin))


def report_about(report: LesionReport, origin: float) -> LesionReport:
    """The report with its CT value counted from the origin."""
    if report.ct_value_hu is None:
        return report
    return report.model_copy(update={"ct_value_hu": report.ct_value_hu - origin})


def _shift(origin: float) -> Float32[np.ndarray, "1"]:
    return hu_to_model(np.array([origin], np.float32))
