"""Vector quantisation: every latent vector is replaced by the nearest of a finite set of codes (van den Oord 2017).

Axes: b batch, d channels of a latent, ``*space`` its grid; n latent vectors, k codes. All of it is computed in float32,
under any autocast.
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
"""A code that serves less than this part of an equal share is dead."""


@final
@dataclass(frozen=True)
class Quantised:
    """Latents after quantisation.

    Attributes:
        values: the nearest codes; the gradient passes straight through them to the latents.
        loss: the codebook's terms of equation 3, mean over voxels and channels.
        indices: which code each vector took.
    """

    values: Float32[Tensor, "b d *space"]
    loss: Float32[Tensor, ""]
    indices: Int[Tensor, "b *space"]


@final
class EMACodebook(nn.Module):
    """Codes that are moving averages of the latents that chose them (van den Oord 2017, appendix A.1).

    The moving averages of count and sum are kept as share and code: the same arithmetic, and both stay within half
    precision. A code that nearly nothing chooses is dead and takes the place of a random latent vector. At first all
    codes are dead, so that they start on the data.

    Args:
        count: number of codes, k.
        dimension: d.
        commitment: beta, weight of the term that draws latents to their codes.
        decay: of the moving averages, per step.
    """

    codes: Tensor
    shares: Tensor

    def __init__(self, count: int, dimension: int, commitment: float, decay: float = 0.99) -> None:
        super().__init__()
        self._commitment, self._decay = commitment, decay
        self.register_buffer("codes", torch.randn(count, dimension))
        self.register_buffer("shares", torch.zeros(count))

    def forward(self, latents: Float[Tensor, "b d *space"]) -> Quantised:
        """Quantise; the codes stay as they are, and the loss draws latents to their codes."""
        with torch.autocast(latents.device.type, enabled=False):
            exact = latents.float()
            indices, values = nearest(exact, self.codes)
            loss = self._commitment * (exact - values).square().mean()
            return Quantised(straight_through(exact, values), loss, indices)

    @torch.no_grad()
    def learn(
        self, latents: Float[Tensor, "b d *space"], indices: Int[Tensor, "b *space"], draw: torch.Generator
    ) -> None:
        """Move the codes towards the latents that chose them; once per training step.

        Args:
            latents: as they came from the encoder.
            indices: which code each took.
            draw: which latents revive dead codes, on the CPU.
        """
        rows, chosen, decay = _rows(latents.float()), indices.flatten(), self._decay
        sums = _over_devices(torch.zeros_like(self.codes).index_add_(0, chosen, rows))
        now = _shares(chosen, len(self.codes))
        means = sums / _over_devices(torch.full_like(now[:1], len(rows)))
        shares = decay * self.shares + (1 - decay) * now
        moved = ((decay * self.shares)[:, None] * self.codes + (1 - decay) * means) / shares[:, None].clamp(min=1e-12)
        self.codes.copy_(torch.where(shares[:, None] > 0, moved, self.codes))
        self.shares.copy_(shares)
        self._revive(rows, draw)

    def _revive(self, rows: Float32[Tensor, "n d"], draw: torch.Generator) -> None:
        equal = 1 / len(self.codes)
        dead = torch.nonzero(self.shares < _DEAD * equal).flatten()
        picks = torch.randint(len(rows), (len(dead),), generator=draw)
        self.codes[dead] = rows[picks.to(rows.device)]
        self.shares[dead] = equal


@final
class GradientCodebook(nn.Module):
    """Codes that are weights, which the loss draws to their latents (equation 3).

    Args:
        count: number of codes, k.
        dimension: d.
        commitment: beta, weight of the term that draws latents to their codes.
        decay: of the shares that are kept for the report, per step.
    """

    shares: Tensor

    def __init__(self, count: int, dimension: int, commitment: float, decay: float = 0.99) -> None:
        super().__init__()
        self._commitment, self._decay = commitment, decay
        self.codes = nn.Parameter(torch.empty(count, dimension).uniform_(-1 / count, 1 / count))
        self.register_buffer("shares", torch.zeros(count))

    def forward(self, latents: Float[Tensor, "b d *space"]) -> Quantised:
        """Quantise; the loss draws codes to their latents, and beta times latents to their codes."""
        with torch.autocast(latents.device.type, enabled=False):
            exact = latents.float()
            indices, values = nearest(exact, self.codes)
            fixed = values.detach()
            loss = (values - exact.detach()).square().mean() + self._commitment * (exact - fixed).square().mean()
            return Quantised(straight_through(exact, fixed), loss, indices)

    @torch.no_grad()
    def learn(
        self,
        latents: Float[Tensor, "b d *space"],  # noqa: ARG002
        indices: Int[Tensor, "b *space"],
        draw: torch.Generator,  # noqa: ARG002
    ) -> None:
        """Keep count of the codes in use; the codes themselves move by their gradient."""
        now = _shares(indices.flatten(), len(self.codes))
        self.shares.mul_(self._decay).add_(now, alpha=1 - self._decay)


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
    """How many codes in equal use would be as uncertain: the exponential of the entropy of the shares, 0 to k."""
    total = shares.double().sum()
    parts = shares.double()[shares > 0] / total
    return float((-(parts * parts.log()).sum()).exp()) if total > 0 else 0.0


def use_of(indices: Int[Tensor, "*any"], count: int) -> Float[Tensor, "k"]:
    """Share of vectors that took each of ``count`` codes."""
    return torch.bincount(indices.flatten(), minlength=count).double() / indices.numel()


def _rows(latents: Float32[Tensor, "b d *space"]) -> Float32[Tensor, "n d"]:
    return latents.movedim(1, -1).reshape(-1, latents.shape[1])


def _shares(chosen: Int[Tensor, "n"], count: int) -> Float32[Tensor, "k"]:
    counts = _over_devices(torch.bincount(chosen, minlength=count).float())
    return counts / counts.sum()


def _over_devices(tensor: Float32[Tensor, "..."]) -> Float32[Tensor, "..."]:
    """The sum over all processes that train."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor
