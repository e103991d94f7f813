"""A diffusion process: how noise is added, what a network predicts, and how a case is sampled.

Axes: b batch, c channels, ``*space`` = x y or x y z.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from medsmith.diffusion.corrections import Correction
from medsmith.diffusion.denoisers import Denoiser, guided
from medsmith.diffusion.learned_variance import learned_variance_bound, variance_fraction
from medsmith.diffusion.noise import SeededNoise
from medsmith.diffusion.sampler import Observe, Sampling, sample
from medsmith.diffusion.schedule import Noised, NoiseSchedule, Predict, Prediction

Norm = Literal["l1", "l2"]


@final
@dataclass(frozen=True, eq=False)
class DiffusionProcess:
    """Noising, loss and sampling of one state; training and sampling use the same object.

    Attributes:
        schedule: of the noise.
        prediction: what the network predicts.
        clamp: largest magnitude of the clean estimate, applied after guidance: 1 in pixel space, None in a latent.
        min_snr: gamma of the min-SNR loss weights (Hang et al. 2023); None weights all times equally.
        least_weight: added to the weight of the error of the clean image (see ``NoiseSchedule.loss_weight``).
        time_draw: how the times of a batch are sampled; "antithetic" pairs t with T - 1 - t.
        bound_weight: weight (lambda) of the variational bound, which trains the variance of the DDPM solver (Nichol &
            Dhariwal 2021, eq. 16); the network then predicts 2 c channels. None: the variance is fixed.
    """

    schedule: NoiseSchedule
    prediction: Prediction = "velocity"
    clamp: float | None = None
    min_snr: float | None = None
    least_weight: float = 0.0
    time_draw: Literal["uniform", "antithetic"] = "uniform"
    bound_weight: float | None = None

    def noised(
        self, clean: Float[Tensor, "b c *space"], rng: torch.Generator, t: Int[Tensor, "b"] | None = None
    ) -> Noised:
        """Add noise to clean images at random times.

        Args:
            clean: b c *space.
            rng: source of times and noise, on the CPU, so that they do not depend on the device.
            t: given times, such as those of another state; None samples them.
        """
        t = self.times(len(clean), rng).to(clean.device) if t is None else t
        return self.schedule.add_noise(clean, torch.randn(clean.shape, generator=rng).to(clean), t)

    def times(self, count: int, rng: torch.Generator) -> Int[Tensor, "b"]:
        """One random time per case of a batch, uniform over the schedule; "antithetic" mirrors the first half."""
        length = len(self.schedule)
        if self.time_draw == "uniform":
            return torch.randint(length, (count,), generator=rng)
        half = torch.randint(length, ((count + 1) // 2,), generator=rng)
        return torch.cat([half, length - 1 - half])[:count]

    def loss(
        self,
        predicted: Float[Tensor, "b e *space"],
        noised: Noised,
        weight: Float[Tensor, "b #c *space"] | float = 1.0,
        norm: Norm = "l2",
    ) -> Float[Tensor, ""]:
        """Mean error of a prediction (Ho et al. 2020, eq. 14), with min-SNR weights over times where configured.

        Where the variance is learned, the variational bound is added (Nichol & Dhariwal 2021, eq. 16): in bits per
        dimension, summed over all times, of which the batch is a sample.

        Args:
            predicted: output of the network for ``noised.x`` at ``noised.t``: c channels, or 2 c where the variance is
                learned.
            noised: the noised images.
            weight: of the error of each voxel.
            norm: squared or absolute error.
        """
        predicted, channels = predicted.float(), noised.x.shape[1]
        error = predicted[:, :channels] - self.schedule.target(noised, self.prediction)
        size = (error.abs() if norm == "l1" else error**2) * weight
        simple = (size.flatten(1).mean(1) * self.time_weights(noised.t)).mean()
        if self.bound_weight is None:
            return simple
        mean = predicted[:, :channels].detach()  # the bound is noisy: it trains the variance alone
        clean = self.schedule.clean_estimate(noised.x, noised.t, mean, self.prediction)
        bound = learned_variance_bound(self.schedule, noised, clean, variance_fraction(predicted[:, channels:]))
        return simple + self.bound_weight * len(self.schedule) * bound.mean()

    def time_weights(self, t: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Weight of the error at each time; 1 without min-SNR weights."""
        if self.min_snr is None:
            return torch.ones(len(t), device=t.device)
        return self.schedule.loss_weight(t, self.prediction, self.min_snr, self.least_weight)

    def denoiser(self, predict: Predict, *conditions: tuple[Predict, float]) -> Denoiser:
        """A denoiser for the sampler from a network with all conditions bound.

        Args:
            predict: the network; where conditions are given, the unconditional network.
            conditions: pairs of the network with one condition and its weight of classifier-free guidance (see
                ``guided``).
        """
        base = self._estimate(predict)
        estimate = guided(base, *((self._estimate(condition), weight) for condition, weight in conditions))
        limit = self.clamp
        if limit is None and self.bound_weight is None:
            return estimate
        return lambda x, t: _clamped(estimate(x, t), x.shape[1], math.inf if limit is None else limit)

    def _estimate(self, predict: Predict) -> Denoiser:
        def estimate(x: Tensor, t: Tensor) -> Tensor:
            predicted, channels = predict(x, t).to(x.dtype), x.shape[1]
            clean = self.schedule.clean_estimate(x, t, predicted[:, :channels], self.prediction)
            if self.bound_weight is None:
                return clean
            return torch.cat([clean, variance_fraction(predicted[:, channels:])], dim=1)

        return estimate

    def sample_one(
        self,
        denoise: Denoiser,
        shape: tuple[int, ...],
        seed: int,
        sampling: Sampling,
        *,
        device: torch.device | str = "cpu",
        temperature: float = 1.0,
        corrections: Sequence[Correction] = (),
        observe: Observe | None = None,
    ) -> Float32[Tensor, "c *space"]:
        """Sample the state of one case, returned without batch axis on the CPU.

        Args:
            denoise: the denoiser, with all conditions bound.
            shape: channels and space of the state.
            seed: of all noise.
            sampling: solver, steps and stochasticity.
            device: of the networks.
            temperature: standard deviation of all noise.
            corrections: applied after each step.
            observe: called with every step.
        """
        steps = sample(
            denoise,
            self.schedule,
            shape,
            SeededNoise((seed,), temperature),
            sampling,
            corrections=corrections,
            device=device,
        )
        with torch.inference_mode():
            for step in steps:
                if observe is not None:
                    observe(step)
        return step.x[0].float().cpu()


def _clamped(estimate: Float[Tensor, "b e *space"], channels: int, limit: float) -> Float[Tensor, "b e *space"]:
    """The clean image within +-limit, a fraction of variance within 0 and 1."""
    clean = estimate[:, :channels].clamp(-limit, limit)
    if estimate.shape[1] == channels:
        return clean
    return torch.cat([clean, estimate[:, channels:].clamp(0, 1)], dim=1)
