"""Text conditioning: from the encoded words of a report to what a network attends to and is modulated by."""

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medsmith.text.encoded_vocabulary import TextConfig


@final
class TextConditioning(nn.Module):
    """Reads one vector per attribute.

    "cross-attention" hands the vectors to cross-attention as they are (Tian et al. 2025). "everywhere" also says which
    attribute each vector belongs to, and pools them into one vector that acts in every residual block: with
    cross-attention alone a small network learns to ignore the words (docs/methods/lesiondiffusion.md).

    Args:
        config: how words steer.
        attributes: number of attributes, n.
    """

    def __init__(self, config: TextConfig, attributes: int) -> None:
        super().__init__()
        self.context = config.width
        self.modulation = config.pooled if config.reach == "everywhere" else 0
        self.project = nn.Identity() if config.width == config.dimension else nn.Linear(config.dimension, config.width)
        if self.modulation:
            self.place = nn.Parameter(0.02 * torch.randn(attributes, config.width))
            self.pool = nn.Sequential(nn.Linear(attributes * config.width, config.pooled), nn.SiLU())

    def forward(self, vectors: Float[Tensor, "b n d"]) -> tuple[Float[Tensor, "b n w"], Float[Tensor, "b p"] | None]:
        """Vectors for cross-attention, and the pooled one."""
        context = self.project(vectors)
        if not self.modulation:
            return context, None
        return context + self.place, self.pool(context.flatten(1))


def attribute_dropout(
    vectors: Float[Tensor, "b n d"], null: Float[Tensor, "n d"], config: TextConfig, rng: torch.Generator
) -> Float[Tensor, "b n d"]:
    """The vectors with some attributes, and now and then all of them, replaced by the null text.

    Whole reports go so that guidance has an unconditional network; single attributes go so that each is learnt for
    itself and a request may leave any of them open.
    """
    whole = torch.rand(len(vectors), 1, generator=rng) < config.null
    single = torch.rand(vectors.shape[:2], generator=rng) < config.left_out
    dropped: Bool[Tensor, "b n"] = whole | single
    return torch.where(dropped[..., None].to(vectors.device), null.to(vectors), vectors)
