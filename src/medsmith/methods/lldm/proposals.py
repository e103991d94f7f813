"""Settings of 3D-LLDM that suit a cohort, for ``medsmith plan``."""

import json
from collections.abc import Sequence

from medsmith.data.fingerprint import Fingerprint
from medsmith.methods.lldm.config import PRESETS, LldmConfig

_SCALES = (1.0, 0.75, 0.5, 0.35, 0.25)
"""Of the median grid."""
_LEAST_EDGE = 8
# Widths of autoencoders and diffusion models with the factor of the latents; from wide to narrow.
_WIDTHS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((16, 32, 64), (96, 192)),
    ((12, 32), (64, 96)),
    ((8, 16), (48, 96)),
)
_SMALL_FOREGROUND = 0.02
"""Share of labeled voxels below which a crop around them saves most of the work."""


def proposals(preset: str, facts: Fingerprint) -> Sequence[tuple[str, ...]]:
    """From large to small: each grid with every width, then the next smaller grid.

    Args:
        preset: the preset that they change; only "tiny" gets other widths.
        facts: of the cohort.
    """
    config = PRESETS[preset]
    assert isinstance(config, LldmConfig)
    widths = _WIDTHS if preset == "tiny" else ((config.label_autoencoder.channels, ()),)
    found = []
    for scale in _SCALES:
        for coding, diffusion in widths:
            size = _size(facts, scale, 2 ** (len(coding) - 1))
            found.append((f"size={json.dumps(size)}", *(_width_settings(coding, diffusion) if diffusion else ())))
    return found


def _size(facts: Fingerprint, scale: float, factor: int) -> list[int]:
    """A grid near a share of the median one, each edge a multiple of the latents' factor times two."""
    multiple = 2 * factor
    edges = facts.shape[: facts.dimensions]
    return [max(_LEAST_EDGE, multiple, round(edge * scale / multiple) * multiple) for edge in edges]


def _width_settings(coding: tuple[int, ...], diffusion: tuple[int, ...]) -> tuple[str, ...]:
    attention = [False] * (len(diffusion) - 1) + [True]
    return (
        *(f"{part}.channels={json.dumps(coding)}" for part in ("label_autoencoder", "image_autoencoder")),
        *(
            f"{part}.{key}={json.dumps(value)}"
            for part in ("label_network", "image_network")
            for key, value in (("channels", diffusion), ("attention", attention))
        ),
    )


def advice(facts: Fingerprint) -> Sequence[str]:
    """A crop around the labels where they fill little of the scans."""
    lines = []
    if 0 < facts.foreground[1] < _SMALL_FOREGROUND and facts.spacing_known:
        lines.append(
            f"labels fill at most {facts.foreground[1]:.1%} of a scan: medsmith crop COHORT OUT --mm X,Y,Z keeps what "
            "is around them, at a finer resolution for the same cost"
        )
    return lines
