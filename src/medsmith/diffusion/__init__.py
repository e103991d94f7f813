"""The diffusion core: schedules, processes, denoisers, corrections and one sampling loop. It depends on torch alone."""

from medsmith.diffusion.corrections import Correction, keep_outside, on_channels
from medsmith.diffusion.denoisers import Denoiser, guided
from medsmith.diffusion.image_guidance import Combination, LowPassGuide, match_low_frequencies
from medsmith.diffusion.low_pass import Filter, low_pass
from medsmith.diffusion.noise import SeededNoise, derive_seed
from medsmith.diffusion.process import DiffusionProcess, Norm
from medsmith.diffusion.sampler import Observe, Sampling, SamplingStep, last, sample, times
from medsmith.diffusion.schedule import Noised, NoiseSchedule, Predict, Prediction
from medsmith.diffusion.solvers import SOLVERS, Solver, solver_names

__all__ = [
    "SOLVERS",
    "Combination",
    "Correction",
    "Denoiser",
    "DiffusionProcess",
    "Filter",
    "LowPassGuide",
    "NoiseSchedule",
    "Noised",
    "Norm",
    "Observe",
    "Predict",
    "Prediction",
    "Sampling",
    "SamplingStep",
    "SeededNoise",
    "Solver",
    "derive_seed",
    "guided",
    "keep_outside",
    "last",
    "low_pass",
    "match_low_frequencies",
    "on_channels",
    "sample",
    "solver_names",
    "times",
]
