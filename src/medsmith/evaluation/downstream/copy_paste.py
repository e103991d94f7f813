"""Copy-paste augmentation: structures of one labeled case put into another at the same place, with soft edges.

Ghiasi et al. 2021, Simple copy-paste is a strong data augmentation method for instance segmentation. The place is kept,
since organs have one.

Axes: b cases, c channels, ``*space`` = x y or x y z.
"""

from typing import final

import torch
from jaxtyping import Bool, Float
from monai.networks.layers import GaussianFilter
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medsmith.evaluation.downstream.augmentation import Augment, Images, Labels


@final
class CopyPaste(BaseModel):
    """Structures of other cases of the batch pasted into each case.

    Attributes:
        share: probability that a case receives structures.
        kept: probability that a structure of the other case is pasted.
        softness: standard deviation in voxels of the ramp outside a structure; 0 pastes with hard edges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(default=0.5, ge=0, le=1)
    kept: float = Field(default=0.5, gt=0, le=1)
    softness: float = Field(default=0.7, ge=0, le=10)

    def __call__(self, images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
        """Paste within a batch.

        Args:
            images: at one scale of gray values.
            labels: class indices; 0 is never pasted.
            rng: source of all that is drawn.
        """
        donors = torch.randperm(len(images), generator=rng)
        receives = torch.rand(len(images), generator=rng) < self.share
        pasted = self._pasted(labels[donors], rng) & receives.view(-1, *[1] * (labels.ndim - 1))
        weight = self._soft(pasted)
        return (
            images + weight * (images[donors] - images),
            torch.where(pasted, labels[donors], labels),
        )

    def before(self, augment: Augment) -> Augment:
        """Pasting, then another augmentation of what it made."""

        def both(images: Images, labels: Labels, rng: torch.Generator) -> tuple[Images, Labels]:
            return augment(*self(images, labels, rng), rng)

        return both

    def _pasted(self, labels: Labels, rng: torch.Generator) -> Bool[Tensor, "b *space"]:
        """Where the structures lie that are pasted."""
        classes = int(labels.max()) + 1
        chosen = torch.rand((len(labels), classes), generator=rng) < self.kept
        chosen[:, 0] = False
        return chosen.gather(1, labels.flatten(1)).view(labels.shape)

    def _soft(self, pasted: Bool[Tensor, "b *space"]) -> Float[Tensor, "b 1 *space"]:
        """Weight of the pasted image: 1 inside, so that label and image agree, falling to 0 outside its edge."""
        mask = pasted[:, None].float()
        if self.softness == 0:
            return mask
        blurred: Float[Tensor, "b 1 *space"] = GaussianFilter(pasted.ndim - 1, self.softness)(mask)
        # Half of the blurred mask is reached at a straight edge: twice of it falls from there.
        return torch.maximum(mask, (2 * blurred).clamp(0, 1))
