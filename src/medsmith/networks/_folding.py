"""Padding to a multiple and space-to-depth: from the grid of an image to the grid of a U-Net, and back."""

from dataclasses import dataclass
from typing import final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad


@final
@dataclass(frozen=True)
class Folding:
    """Pads images of any size and folds blocks of voxels into channels; ``unfold`` inverts it.

    Attributes:
        dimensions: 2 or 3.
        block: edge of the block that is folded; 1 folds nothing.
        multiple: every axis is padded to a multiple of this, itself a multiple of ``block``.
    """

    dimensions: int
    block: int
    multiple: int

    @property
    def voxels(self) -> int:
        """Voxels per block: the factor by which the number of channels grows."""
        return int(self.block**self.dimensions)

    def fold(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b folded *coarse"]:
        """Pad by repeating the far border, then fold."""
        extra = [-n % self.multiple for n in x.shape[2:]]
        if any(extra):
            x = pad(x, [n for end in reversed(extra) for n in (0, end)], mode="replicate")
        folded, depth, grid, sizes = self._axes
        return rearrange(x, f"b c {folded} -> b (c {depth}) {grid}", **sizes)

    def unfold(self, x: Float[Tensor, "b folded *coarse"], space: tuple[int, ...]) -> Float[Tensor, "b c *space"]:
        """The inverse of ``fold`` for an image of ``space`` voxels."""
        folded, depth, grid, sizes = self._axes
        x = rearrange(x, f"b (c {depth}) {grid} -> b c {folded}", **sizes)
        for axis, length in enumerate(space, 2):
            x = x.narrow(axis, 0, length)
        return x

    @property
    def _axes(self) -> tuple[str, str, str, dict[str, int]]:
        names = "xyz"[: self.dimensions]
        folded, depth = " ".join(f"({n} {n}f)" for n in names), " ".join(f"{n}f" for n in names)
        return folded, depth, " ".join(names), {f"{n}f": self.block for n in names}
