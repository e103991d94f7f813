"""HA-GAN in small: Sun et al. 2022, Hierarchical amortized GAN for 3D high resolution medical image synthesis.

The published scheme with narrow networks, for one row of a table: a shared block makes features on half of the grid;
one head turns all of them into a volume of half the resolution, another turns a slab of them into a slab of full
resolution, each with its discriminator. Two encoders go the other way: from slabs to features, and from all features to
the latent vector. At synthesis the second head sees all features at once.

Axes: b batch, c image channels, f feature channels, ``x y z`` the full grid, ``u v w`` half of it. Model space [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, l1_loss
from torch.nn.utils.parametrizations import spectral_norm

LATENT, FEATURES, COARSE = 128, 32, 8
"""Length of the latent vector; feature channels; the generator starts on an eighth of the grid."""
RECONSTRUCTION = 5.0
"""Weight of both reconstruction losses, as published."""
RATES = {"generator": 1e-4, "discriminators": 4e-4, "encoders": 1e-4}


def _block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv3d(inputs, outputs, 3, stride, 1)
    return nn.Sequential(convolution, nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2))


def _up() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="nearest")


@final
class Generator(nn.Module):
    """Features from a latent vector, and two heads.

    Args:
        size: of the full grid, multiples of 8.
        channels: of images.
    """

    def __init__(self, size: Sequence[int], channels: int) -> None:
        super().__init__()
        self.start = tuple(edge // COARSE for edge in size)
        self.project = nn.Linear(LATENT, 4 * FEATURES * self.start[0] * self.start[1] * self.start[2])
        self.shared = nn.Sequential(
            _block(4 * FEATURES, 2 * FEATURES), _up(), _block(2 * FEATURES, 2 * FEATURES), _up(),
            _block(2 * FEATURES, FEATURES), _block(FEATURES, FEATURES),
        )  # fmt: skip
        self.low = nn.Sequential(_block(FEATURES, 16), nn.Conv3d(16, channels, 3, 1, 1), nn.Tanh())
        self.high = nn.Sequential(
            _block(FEATURES, FEATURES), _up(), _block(FEATURES, 16), nn.Conv3d(16, channels, 3, 1, 1), nn.Tanh()
        )

    def features(self, z: Float[Tensor, "b n"]) -> Float[Tensor, "b f u v w"]:
        """Features of the whole volume."""
        found: Tensor = self.shared(self.project(z).view(len(z), 4 * FEATURES, *self.start))
        return found


@final
class Discriminator(nn.Module):
    """Real or generated, of a slab with its place or of a whole volume at half resolution.

    Args:
        channels: of its input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, 16, 32, 64, 64)
        layers = [
            nn.Sequential(spectral_norm(nn.Conv3d(a, b, 3, 2, 1)), nn.LeakyReLU(0.2)) for a, b in pairwise(widths)
        ]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), spectral_norm(nn.Linear(64, 1)))

    def forward(self, x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b 1"]:
        """One logit per case."""
        found: Tensor = self.layers(x)
        return found


@final
class Encoders(nn.Module):
    """From a slab to its features, and from all features to a latent vector.

    Args:
        size: of the full grid.
        channels: of images.
    """

    def __init__(self, size: Sequence[int], channels: int) -> None:
        super().__init__()
        self.slab = nn.Sequential(_block(channels, 16), _block(16, FEATURES, stride=2), _block(FEATURES, FEATURES))
        self.volume = nn.Sequential(
            _block(FEATURES, 2 * FEATURES, stride=2), _block(2 * FEATURES, 2 * FEATURES, stride=2), nn.Flatten(),
            nn.Linear(2 * FEATURES * (size[0] * size[1] * size[2]) // COARSE**3, LATENT),
        )  # fmt: skip


@final
@dataclass(frozen=True)
class Slab:
    """A quarter of the volume along z, cut from features and image alike.

    Attributes:
        start: first plane on half of the grid.
        depth: planes on half of the grid.
        planes: all planes on half of the grid.
    """

    start: int
    depth: int
    planes: int

    @classmethod
    def sample(cls, size: Sequence[int], rng: torch.Generator) -> "Slab":
        """At a random place."""
        planes = size[2] // 2
        depth = max(4, planes // 4)
        return cls(int(torch.randint(planes - depth + 1, (), generator=rng)), depth, planes)

    def features(self, x: Float[Tensor, "b f u v w"]) -> Float[Tensor, "b f u v d"]:
        """Its features."""
        return x[..., self.start : self.start + self.depth]

    def image(self, x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c x y e"]:
        """Its image."""
        return x[..., 2 * self.start : 2 * (self.start + self.depth)]

    def placed(self, x: Float[Tensor, "b c x y e"]) -> Float[Tensor, "b k x y e"]:
        """An image with its place as a further channel, for the discriminator."""
        place = torch.full_like(x[:, :1], self.start / max(1, self.planes - self.depth))
        return torch.cat([x, place], 1)


@final
class HaGan(nn.Module):
    """All networks and their losses.

    Args:
        size: of the full grid, multiples of 8.
        channels: of images.
    """

    def __init__(self, size: Sequence[int], channels: int = 1) -> None:
        super().__init__()
        self.size = tuple(size)
        self.generator, self.encoders = Generator(size, channels), Encoders(size, channels)
        self.judge_high, self.judge_low = Discriminator(channels + 1), Discriminator(channels)

    def optimizers(self) -> dict[str, torch.optim.Adam]:
        """Adam for generator, discriminators, and encoders, as published."""
        parts: dict[str, list[nn.Module]] = {
            "generator": [self.generator],
            "discriminators": [self.judge_high, self.judge_low],
            "encoders": [self.encoders],
        }
        return {
            name: torch.optim.Adam([p for module in modules for p in module.parameters()], RATES[name], (0.0, 0.999))
            for name, modules in parts.items()
        }

    def discriminator_loss(
        self, real: Float[Tensor, "b c x y z"], slab: Slab, rng: torch.Generator
    ) -> Float[Tensor, ""]:
        """Of both discriminators."""
        with torch.no_grad():
            low, high = self._fake(len(real), slab, rng)
        found = torch.zeros(())
        pairs = (
            (self.judge_low, _half(real), low),
            (self.judge_high, slab.placed(slab.image(real)), slab.placed(high)),
        )
        for judge, true, false in pairs:
            found = found + _logistic(judge(true), 1.0) + _logistic(judge(false), 0.0)
        return found

    def generator_loss(self, count: int, slab: Slab, rng: torch.Generator) -> Float[Tensor, ""]:
        """What is made should be taken for real."""
        low, high = self._fake(count, slab, rng)
        return _logistic(self.judge_low(low), 1.0) + _logistic(self.judge_high(slab.placed(high)), 1.0)

    def encoder_loss(self, real: Float[Tensor, "b c x y z"], slab: Slab) -> Float[Tensor, ""]:
        """Both reconstructions: of a slab through its features, of the volume through the latent vector."""
        true, generator = slab.image(real), self.generator
        through_features = l1_loss(generator.high(self.encoders.slab(true)), true)
        with torch.no_grad():
            features = self.encoders.slab(real)
        again = generator.features(self.encoders.volume(features))
        through_vector = l1_loss(generator.low(again), _half(real)) + l1_loss(
            generator.high(slab.features(again)), true
        )
        return RECONSTRUCTION * (through_features + through_vector)

    @torch.no_grad()
    def sample(self, rng: torch.Generator) -> Float[Tensor, "c x y z"]:
        """One volume, all features at once."""
        z = torch.randn((1, LATENT), generator=rng)
        made: Tensor = self.generator.high(self.generator.features(z))[0]
        return made

    def _fake(
        self, count: int, slab: Slab, rng: torch.Generator
    ) -> tuple[Float[Tensor, "b c u v w"], Float[Tensor, "b c x y e"]]:
        features = self.generator.features(torch.randn((count, LATENT), generator=rng))
        return self.generator.low(features), self.generator.high(slab.features(features))


def train_step(gan: HaGan, optimizers: dict[str, torch.optim.Adam], real: Tensor, rng: torch.Generator) -> float:
    """One step of each optimizer; the sum of the losses."""
    slab, total = Slab.sample(gan.size, rng), 0.0
    for name, loss_of in (
        ("discriminators", lambda: gan.discriminator_loss(real, slab, rng)),
        ("generator", lambda: gan.generator_loss(len(real), slab, rng)),
        ("encoders", lambda: gan.encoder_loss(real, slab)),
    ):
        loss = loss_of()
        gan.zero_grad()
        loss.backward()
        optimizers[name].step()
        total += loss.item()
    return total


def _half(x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c u v w"]:
    return interpolate(x, scale_factor=0.5, mode="trilinear", align_corners=False)


def _logistic(logits: Float[Tensor, "b 1"], target: float) -> Float[Tensor, ""]:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
