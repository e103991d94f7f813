"""Text conditioning: from the encoded words of a report to cross-attention context and modulation vector."""

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from medsmith.text.encoded_vocabulary import TextConfig


@final
class TextConditioning(nn.Module):
    """Conditions a network on one vector per attribute of a report.

    With reach "cross-attention" the vectors are the context of cross-attention (Tian et al. 2025). With "everywhere" a
    learned embedding of the attribute is added to each vector, and the vectors are pooled into one that modulates every
    residual block: with cross-attention alone a small network learns to ignore the words
    (docs/methods/lesiondiffusion.md).

    Args:
        config: settings of the conditioning.
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
        """Context for cross-attention and, with reach "everywhere", the pooled vector."""
        context = self.project(vectors)
        if not self.modulation:
            return context, None
        return context + self.place, self.pool(context.flatten(1))


def attribute_dropout(
    vectors: Float[Tensor, "b n d"], null: Float[Tensor, "n d"], config: TextConfig, rng: torch.Generator
) -> Float[Tensor, "b n d"]:
    """Replace random attributes, and all attributes of random reports, by the null text.

    Dropping whole reports trains the unconditional network of classifier-free guidance. Dropping single attributes lets
    a request leave any of them open.

    Args:
        vectors: one per attribute.
        null: vectors of the null text.
        config: gives the probabilities.
        rng: on the CPU.
    """
    whole = torch.rand(len(vectors), 1, generator=rng) < config.null
    single = torch.rand(vectors.shape[:2], generator=rng) < config.left_out
    dropped: Bool[Tensor, "b n"] = whole | single
    return torch.where(dropped[..., None].to(vectors.device), null.to(vectors), vectors)
