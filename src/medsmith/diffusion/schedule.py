"""Noise schedules: how much of a clean image and of noise there is at each time.

Every schedule is two tables, so that ``x_t = signal[t] * clean + noise[t] * eps``. Axes: b batch, c channels,
``*space`` = x y or x y z. Time t runs over 0 .. length - 1; t == -1 is the clean image (signal 1, noise 0).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

Prediction = Literal["noise", "velocity", "clean"]
Predict = Callable[[Float[Tensor, "b c *space"], Int[Tensor, "b"]], Float[Tensor, "b e *space"]]
"""A network: e = c channels for a state of c channels, or 2 c where it also predicts the variance."""


@final
@dataclass(frozen=True, eq=False)
class Noised:
    """A noised image with its time, clean image and noise.

    Attributes:
        x: the noised image, b c *space.
        t: time of each image, b.
        clean: the image without noise, b c *space.
        noise: the standard normal noise that was added, b c *space.
    """

    x: Float[Tensor, "b c *space"]
    t: Int[Tensor, "b"]
    clean: Float[Tensor, "b c *space"]
    noise: Float[Tensor, "b c *space"]


@final
@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Signal and noise at each time; immutable. Build one with a class method.

    Attributes:
        signal: weight of the clean image, float64, one entry per time.
        noise: weight of the unit noise, float64, one entry per time.
        straight: True for rectified flow, whose velocity is ``eps - clean`` (Liu et al. 2022); False for
            variance-preserving schedules, whose velocity is ``signal eps - noise clean`` (Salimans & Ho 2022).
    """

    signal: Float64[Tensor, " T"]
    noise: Float64[Tensor, " T"]
    straight: bool = False

    @classmethod
    def from_betas(cls, betas: Float64[Tensor, " T"]) -> "NoiseSchedule":
        """Variance-preserving schedule from the variances of the forward chain (Ho et al. 2020, eq. 4).

        Raises:
            ValueError: a variance outside (0, 1): no noise at all, or nothing left of the image.
        """
        if not ((betas > 0) & (betas < 1)).all():
            raise ValueError("the variances (betas) of a noise schedule lie between 0 and 1, both excluded")
        survived = torch.cumprod(1 - betas, 0)
        return cls(survived.sqrt(), (1 - survived).sqrt())

    @classmethod
    def linear(cls, length: int = 1000, first: float = 1e-4, final: float = 0.02) -> "NoiseSchedule":
        """Betas on a line (Ho et al. 2020, section 4)."""
        return cls.from_betas(torch.linspace(first, final, length, dtype=torch.float64))

    @classmethod
    def scaled_linear(cls, length: int = 1000, first: float = 0.0015, final: float = 0.0195) -> "NoiseSchedule":
        """Square roots of the betas on a line (Rombach et al. 2022, latent diffusion)."""
        return cls.from_betas(torch.linspace(first**0.5, final**0.5, length, dtype=torch.float64) ** 2)

    @classmethod
    def cosine(cls, length: int = 1000, offset: float = 0.008, largest: float = 0.999) -> "NoiseSchedule":
        """Signal power along a squared cosine (Nichol & Dhariwal 2021, eq. 17)."""
        ends = torch.arange(length + 1, dtype=torch.float64) / length
        power = torch.cos((ends + offset) / (1 + offset) * math.pi / 2) ** 2
        return cls.from_betas((1 - power[1:] / power[:-1]).clamp(max=largest))

    @classmethod
    def rectified_flow(cls, length: int = 1000) -> "NoiseSchedule":
        """The straight line from image to noise (Liu et al. 2022, eq. 1)."""
        share = torch.arange(1, length + 1, dtype=torch.float64) / length
        return cls(1 - share, share, straight=True)

    def __len__(self) -> int:
        return len(self.signal)

    @cached_property
    def _tables(self) -> dict[tuple[torch.dtype, torch.device], Tensor]:
        return {}

    def _look_up(self, t: Int[Tensor, "b"], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Signal and noise at times t: 2 b. One table for each number format and device, t == -1 its first column."""
        table = self._tables.get((dtype, device))
        if table is None:
            start = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
            table = torch.cat([start, torch.stack([self.signal, self.noise])], dim=1).to(device, dtype)
            self._tables[dtype, device] = table
        return table.index_select(1, t.to(device) + 1)

    def at(self, t: Int[Tensor, "b"], like: Float[Tensor, "b c *space"]) -> tuple[Tensor, Tensor]:
        """Signal and noise at times t, shaped to multiply ``like``; t == -1 gives (1, 0)."""
        levels = self._look_up(t, like.dtype, like.device)
        signal, noise = levels.reshape(2, -1, *(1,) * (like.ndim - 1)).unbind()
        return signal, noise

    def add_noise(
        self, clean: Float[Tensor, "b c *space"], noise: Float[Tensor, "b c *space"], t: Int[Tensor, "b"]
    ) -> Noised:
        """Mix clean images with noise at times t (Ho et al. 2020, eq. 4; PIG eq. 9-10)."""
        signal, level = self.at(t, clean)
        return Noised(signal * clean + level * noise, t, clean, noise)

    def check_prediction(self, prediction: Prediction) -> None:
        """Check that a network can predict this on this schedule.

        Raises:
            ValueError: noise prediction on a schedule that reaches pure noise, where it does not determine the image.
        """
        if prediction == "noise" and self.straight:
            raise ValueError("rectified flow ends in pure noise: predict velocity or clean, not noise")

    def target(self, noised: Noised, prediction: Prediction) -> Float[Tensor, "b c *space"]:
        """The training target of a network for a noised image.

        Raises:
            ValueError: noise prediction on a schedule that reaches pure noise, where it does not determine the image.
        """
        self.check_prediction(prediction)
        if prediction == "noise":
            return noised.noise
        if prediction == "clean":
            return noised.clean
        if self.straight:
            return noised.noise - noised.clean
        signal, level = self.at(noised.t, noised.clean)
        return signal * noised.noise - level * noised.clean

    def clean_estimate(
        self,
        x: Float[Tensor, "b c *space"],
        t: Int[Tensor, "b"],
        predicted: Float[Tensor, "b c *space"],
        prediction: Prediction,
    ) -> Float[Tensor, "b c *space"]:
        """The clean image from the output of a network: the inverse of ``target``.

        Raises:
            ValueError: noise prediction on a schedule that reaches pure noise, where it does not determine the image.
        """
        self.check_prediction(prediction)
        if prediction == "clean":
            return predicted
        signal, level = self.at(t, x)
        if prediction == "noise":
            return (x - level * predicted) / signal
        return x - level * predicted if self.straight else signal * x - level * predicted

    def loss_weight(
        self, t: Int[Tensor, "b"], prediction: Prediction, limit: float, least: float = 0.0
    ) -> Float[Tensor, "b"]:
        """Min-SNR weights of the squared error at times t (Hang et al. 2023, section 3.4).

        The paper weights the error of the clean image by min(SNR, gamma). The squared error of the noise is SNR times
        that of the clean image, the squared error of the velocity 1 / noise^2 times (SNR + 1 on variance-preserving
        schedules); the weights are divided by these factors.

        Args:
            t: times, b.
            prediction: quantity whose error is weighted.
            limit: gamma, the signal-to-noise ratio above which the weight of the clean image is constant.
            least: added to the weight of the error of the clean image, so that it stays positive at high noise levels.
                SNR + 1 / variance of the data is the weight of Karras et al. 2022 (table 1).
        """
        signal, noise = self._look_up(t, torch.float64, t.device)
        ratio = (signal / noise) ** 2
        clean = ratio.clamp(max=limit) + least
        weights: dict[Prediction, Tensor] = {
            "clean": clean,
            "noise": (limit / ratio).clamp(max=1) + (least / ratio if least else 0.0),
            "velocity": clean * noise**2,
        }
        return weights[prediction].float()
