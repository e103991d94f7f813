"""The windows that a case is offered in, and the one that it is first shown in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from medsmith.cases.case import Case
from medsmith.cases.hounsfield import is_ct
from medsmith.cases.windows import CT_WINDOWS, Window
from medsmith.data.fingerprint import HOUNSFIELD_AIR

_AUTOMATIC = (0.5, 99.5)
"""Percentiles that run from black to white."""
_SAMPLED = 2**21
"""Voxels at most that the percentiles are taken of."""
_ORGANS = {"lung": "lung", "brain": "brain", "skull": "brain", "bone": "bone", "vertebra": "bone", "rib": "bone"}
"""Part of the name of an organ -> window in which its lesions are first shown; soft tissue for all others."""


def in_hounsfield(case: Case, channel: int) -> bool:
    """Whether a channel holds Hounsfield units: by its name, or since there is air (``Fingerprint.is_hounsfield``)."""
    if case.stored == np.uint8:
        return False
    return is_ct(case.channel_names[channel]) or float(case.require_image()[channel].min()) < HOUNSFIELD_AIR


def windows_of(case: Case, channel: int) -> tuple[Window, ...]:
    """The windows of a channel, the one to show first in front.

    CT: soft tissue, lung, bone, liver and brain, then automatic. All others: automatic (from the 0.5 to the 99.5
    percentile), then the full range.
    """
    image = case.require_image()[channel]
    low, high = (float(value) for value in np.percentile(_sampled(image), _AUTOMATIC))
    automatic = _between("Automatic", low, high)
    if not in_hounsfield(case, channel):
        return automatic, _between("Full range", float(image.min()), float(image.max()))
    first = _first_of_ct(case)
    return CT_WINDOWS[first], *(window for name, window in CT_WINDOWS.items() if name != first), automatic


def _sampled(image: Float32[np.ndarray, "x y z"]) -> Float32[np.ndarray, " n"]:
    """Evenly spaced voxels."""
    step = -(-image.size // _SAMPLED) | 1  # odd, so that it does not keep to some columns
    return image.ravel(order="K")[::step]


def _between(name: str, low: float, high: float) -> Window:
    """The window between two values; one gray value wide where they are equal."""
    return Window(name, (low + high) / 2, (high - low) or 1.0)


def _first_of_ct(case: Case) -> str:
    """Name of the window that suits the organ of the first lesion."""
    organ = next((str(lesion.get("organ")) for lesion in lesions_of(case.report) if lesion.get("organ")), "")
    return next((window for part, window in _ORGANS.items() if part in organ), "soft")


def lesions_of(report: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The lesions of a report, or of a provenance; [] where there are none or no list of them."""
    found = (report or {}).get("lesions", ())
    return [lesion for lesion in found if isinstance(lesion, Mapping)] if isinstance(found, list) else []
