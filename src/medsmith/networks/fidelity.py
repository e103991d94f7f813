"""How well a VQGAN reconstructs volumes: error in HU by organ, and use of the codebook."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Integer

from medsmith.data.hounsfield_scale import KNOTS_HU, hu_to_model, model_to_hu
from medsmith.networks.quantizer import perplexity
from medsmith.networks.tiling import TILE, decode_in_tiles, encode_in_tiles
from medsmith.networks.vqgan import VQGAN

Volume = tuple[Float32[np.ndarray, "_ _ _"], Integer[np.ndarray, "_ _ _"]]
"""HU and labels of one volume, both x y z."""


@final
@dataclass(frozen=True)
class Fidelity:
    """Reconstruction error and use of the codebook.

    Attributes:
        mean_error_hu: name of a label -> mean absolute error in HU over its voxels in all volumes; "everywhere" for
            all voxels. Labels without a voxel are left out.
        codes_used: share of the codes to which some latent was mapped, 0..1.
        perplexity: of the distribution over codes: the number of equally used codes with the same entropy.
    """

    mean_error_hu: Mapping[str, float]
    codes_used: float
    perplexity: float


def measure_fidelity(
    vqgan: VQGAN, volumes: Iterable[Volume], label_names: Mapping[str, int], tile: int = TILE
) -> Fidelity:
    """Reconstruct volumes by a VQGAN and compare them with the originals.

    Values are clipped to -1000 and 1000 HU first, the range of the networks.

    Args:
        vqgan: the network.
        volumes: HU and labels, even numbers of voxels.
        label_names: name -> value.
        tile: latents along each edge of a tile.
    """
    errors = _Errors(label_names)
    counts = torch.zeros(vqgan.config.codes)
    for hu, labels in volumes:
        image = torch.from_numpy(hu_to_model(hu))[None, None]
        state = encode_in_tiles(vqgan, image, tile)
        with torch.inference_mode():
            latents = vqgan.scale.to_latents(state.to(vqgan.last_weight.device))
            indices = vqgan.codebook(latents).indices.flatten().cpu()
        counts += torch.bincount(indices, minlength=len(counts))
        reconstructed = model_to_hu(decode_in_tiles(vqgan, state, tile)[0, 0].numpy())
        errors.add(np.abs(reconstructed - hu.clip(KNOTS_HU[0], KNOTS_HU[-1])), labels)
    return Fidelity(errors.means(), float((counts > 0).float().mean()), perplexity(counts))


@final
class _Errors:
    """Sums over voxels by label."""

    def __init__(self, label_names: Mapping[str, int]) -> None:
        self._values = dict(label_names)
        self._sums = dict.fromkeys([*label_names, "everywhere"], (0.0, 0))

    def add(self, error: Float32[np.ndarray, "x y z"], labels: Integer[np.ndarray, "x y z"]) -> None:
        for name, (total, count) in self._sums.items():
            inside = error[labels == self._values[name]] if name in self._values else error
            self._sums[name] = (total + float(inside.sum(dtype=np.float64)), count + inside.size)

    def means(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self._sums.items() if count}
