"""The diffusion core: schedules, denoisers, corrections and one sampling loop. It knows torch and nothing else."""

from medsmith.diffusion.corrections import Correction, keep_outside, match_low_frequencies
from medsmith.diffusion.denoisers import Denoiser, guided
from medsmith.diffusion.noise import SeededNoise, derive_seed
from medsmith.diffusion.sampler import SOLVERS, SamplingStep, Solver, check_walk, last, sample, times
from medsmith.diffusion.schedule import Noised, NoiseSchedule, Predict, Prediction

__all__ = [
    "SOLVERS",
    "Correction",
    "Denoiser",
    "NoiseSchedule",
    "Noised",
    "Predict",
    "Prediction",
    "SamplingStep",
    "SeededNoise",
    "Solver",
    "check_walk",
    "derive_seed",
    "guided",
    "keep_outside",
    "last",
    "match_low_frequencies",
    "sample",
    "times",
]
