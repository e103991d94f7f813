"""Vector quantization: every latent vector is replaced by its nearest code (van den Oord et al. 2017).

Axes: b batch, d channels of a latent, ``*space`` its grid; n latent vectors, k codes. Computed in float32,
even under autocast.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn
from torch.nn.functional import embedding

_ROWS = 2**14
"""Vectors that are compared with all codes at once: 128 MiB of distances at 2,048 codes."""
_DEAD = 0.01
"""A code whose share is below this fraction of 1 / k is dead."""


@final
@dataclass(frozen=True)
class Quantized:
    """Latents after quantization.

    Attributes:
        values: the nearest codes, with the straight-through gradient.
        loss: codebook terms of equation 3, mean over voxels and channels.
        indices: of the nearest codes.
    """

    values: Float32[Tensor, "b d *space"]
    loss: Float32[Tensor, ""]
    indices: Int[Tensor, "b *space"]


@final
class EMACodebook(nn.Module):
    """Codes that are moving averages of the latents assigned to them (van den Oord et al. 2017, appendix A.1).

    The moving averages of count and sum are stored as share and code: the arithmetic is the same, and both fit half
    precision. A code to which few latents are assigned is dead and is replaced by a random latent vector. Initially all
    codes are dead, so that they are initialized from the data.

    Args:
        count: number of codes, k.
        dimension: d.
        commitment: beta, weight of the term that pulls latents to their codes.
        decay: of the moving averages, per step.
    """

    codes: Tensor
    shares: Tensor

    def __init__(self, count: int, dimension: int, commitment: float, decay: float = 0.99) -> None:
        super().__init__()
        self._commitment, self._decay = commitment, decay
        self.register_buffer("codes", torch.randn(count, dimension))
        self.register_buffer("shares", torch.zeros(count))

    def forward(self, latents: Float[Tensor, "b d *space"]) -> Quantized:
        """Quantize; the loss pulls latents to their codes."""
        with torch.autocast(latents.device.type, enabled=False):
            exact = latents.float()
            indices, values = nearest(exact, self.codes)
            loss = self._commitment * (exact - values).square().mean()
            return Quantized(straight_through(exact, values), loss, indices)

    @torch.no_grad()
    def update(
        self, latents: Float[Tensor, "b d *space"], indices: Int[Tensor, "b *space"], rng: torch.Generator
    ) -> None:
        """Move the codes towards the latents assigned to them; once per training step.

        Args:
            latents: from the encoder.
            indices: of their nearest codes.
            rng: selects the latents that replace dead codes, on the CPU.
        """
        rows, assigned, decay = _rows(latents.float()), indices.flatten(), self._decay
        sums = _sum_over_devices(torch.zeros_like(self.codes).index_add_(0, assigned, rows))
        batch_shares = _shares(assigned, len(self.codes))
        means = sums / _sum_over_devices(torch.full_like(batch_shares[:1], len(rows)))
        shares = decay * self.shares + (1 - decay) * batch_shares
        moved = ((decay * self.shares)[:, None] * self.codes + (1 - decay) * means) / shares[:, None].clamp(min=1e-12)
        self.codes.copy_(torch.where(shares[:, None] > 0, moved, self.codes))
        self.shares.copy_(shares)
        self._revive(rows, rng)

    def _revive(self, rows: Float32[Tensor, "n d"], rng: torch.Generator) -> None:
        equal_share = 1 / len(self.codes)
        dead = torch.nonzero(self.shares < _DEAD * equal_share).flatten()
        chosen = torch.randint(len(rows), (len(dead),), generator=rng)
        self.codes[dead] = rows[chosen.to(rows.device)]
        self.shares[dead] = equal_share


@final
class GradientCodebook(nn.Module):
    """Codes that are trained as weights, pulled to their latents by the loss (equation 3).

    Args:
        count: number of codes, k.
        dimension: d.
        commitment: beta, weight of the term that pulls latents to their codes.
        decay: of the moving average of the shares, per step.
    """

    shares: Tensor

    def __init__(self, count: int, dimension: int, commitment: float, decay: float = 0.99) -> None:
        super().__init__()
        self._commitment, self._decay = commitment, decay
        self.codes = nn.Parameter(torch.empty(count, dimension).uniform_(-1 / count, 1 / count))
        self.register_buffer("shares", torch.zeros(count))

    def forward(self, latents: Float[Tensor, "b d *space"]) -> Quantized:
        """Quantize; the loss pulls codes to their latents and, times beta, latents to their codes."""
        with torch.autocast(latents.device.type, enabled=False):
            exact = latents.float()
            indices, values = nearest(exact, self.codes)
            fixed = values.detach()
            loss = (values - exact.detach()).square().mean() + self._commitment * (exact - fixed).square().mean()
            return Quantized(straight_through(exact, fixed), loss, indices)

    @torch.no_grad()
    def update(
        self,
        latents: Float[Tensor, "b d *space"],  # noqa: ARG002
        indices: Int[Tensor, "b *space"],
        rng: torch.Generator,  # noqa: ARG002
    ) -> None:
        """Update the shares; the codes themselves are updated by their gradient."""
        batch_shares = _shares(indices.flatten(), len(self.codes))
        self.shares.mul_(self._decay).add_(batch_shares, alpha=1 - self._decay)


def nearest(
    latents: Float32[Tensor, "b d *space"], codes: Float32[Tensor, "k d"]
) -> tuple[Int[Tensor, "b *space"], Float32[Tensor, "b d *space"]]:
    """Index and value of the code with the smallest Euclidean distance to each latent vector.

    Args:
        latents: the vectors.
        codes: one per row; values carry their gradient.
    """
    rows, half_norms = _rows(latents.detach()), codes.detach().square().sum(1) / 2
    # |z - c|^2 = |z|^2 + 2 (|c|^2 / 2 - z c): the first term is the same for all codes.
    parts = [torch.addmm(half_norms, part, codes.detach().T, alpha=-1).argmin(1) for part in torch.split(rows, _ROWS)]
    indices = torch.cat(parts).reshape(latents.shape[:1] + latents.shape[2:])
    return indices, embedding(indices, codes).movedim(-1, 1)


def straight_through(
    latents: Float32[Tensor, "b d *space"], values: Float32[Tensor, "b d *space"]
) -> Float32[Tensor, "b d *space"]:
    """The values, with the gradient of the latents (Bengio et al. 2013)."""
    return latents + (values - latents).detach()


def perplexity(shares: Float[Tensor, "k"]) -> float:
    """Exponential of the entropy of the shares: the number of equally used codes with the same entropy, 0 to k."""
    total = shares.double().sum()
    parts = shares.double()[shares > 0] / total
    return float((-(parts * parts.log()).sum()).exp()) if total > 0 else 0.0


def _rows(latents: Float32[Tensor, "b d *space"]) -> Float32[Tensor, "n d"]:
    return latents.movedim(1, -1).reshape(-1, latents.shape[1])


def _shares(assigned: Int[Tensor, "n"], count: int) -> Float32[Tensor, "k"]:
    counts = _sum_over_devices(torch.bincount(assigned, minlength=count).float())
    return counts / counts.sum()


def _sum_over_devices(tensor: Float32[Tensor, "..."]) -> Float32[Tensor, "..."]:
    """The sum over all processes that train."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor
