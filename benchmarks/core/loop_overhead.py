"""What the sampling loop costs beyond the network: medsmith's and MONAI's loops against bare network calls.

One image of 64 x 64, the network of PIG's tiny preset, 50 steps, float32, one thread. The arms take turns in an order
that rotates. The thread's processor time is read whenever the network is entered and left; each of the 50 calls and the
51 gaps around them is the median over the repeats, so that other work on the machine counts little (it still chills the
caches). Two figures for each loop, with bootstrap 95 % intervals over the repeats:

    outside     the gaps over the calls, less the same share of the bare calls, which is the cost of reading the clock
    over_bare   gaps and calls over those of the bare calls, less 1; noisier, since it compares calls with calls

Writes loop_overhead.json beside this file. Run: python benchmarks/core/loop_overhead.py
"""

import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor

from medsmith.diffusion import DiffusionProcess, NoiseSchedule, Sampling, SeededNoise, Solver, last, sample, times
from medsmith.methods.pig import Pig, PigConfig
from medsmith.networks import UNet

HERE = Path(__file__).parent
STEPS, REPEATS, SHAPE = 50, 24, (1, 64, 64)


class Timed:
    """A network that reads the thread's processor time at its door."""

    def __init__(self, network: UNet) -> None:
        self._network = network
        self.stamps: list[int] = []

    def __call__(self, x: Tensor, timesteps: Tensor, context: None = None) -> Tensor:  # noqa: ARG002
        self.stamps.append(time.thread_time_ns())
        answer: Tensor = self._network(x, timesteps)
        self.stamps.append(time.thread_time_ns())
        return answer


def bare(network: Timed) -> Callable[[], object]:
    """The network calls alone."""
    x = SeededNoise((0,))(*SHAPE)
    moments = [torch.tensor([t]) for t in times(1000, STEPS)]
    return lambda: [network(x, t) for t in moments]


def ours(network: Timed, solver: Solver) -> Callable[[], object]:
    """medsmith's loop, from drawing the noise to the finished image."""
    process = DiffusionProcess(NoiseSchedule.linear(1000), "noise", clamp=1.0)
    denoise, sampling = process.denoiser(network), Sampling(solver=solver, steps=STEPS)
    return lambda: last(sample(denoise, process.schedule, SHAPE, SeededNoise((0,)), sampling))


def monais(network: Timed) -> Callable[[], object]:
    """MONAI's DiffusionInferer with its DDIM, from noise to image."""
    scheduler = DDIMScheduler(1000, clip_sample=True)
    scheduler.set_timesteps(STEPS)
    inferer = DiffusionInferer(scheduler)
    return lambda: inferer.sample(torch.randn(1, *SHAPE), network, scheduler, verbose=False)


def measured(walk: Callable[[], object], network: Timed) -> np.ndarray:
    """Milliseconds of one walk: gap, call, gap, call ... gap."""
    network.stamps = [time.thread_time_ns()]
    walk()
    return np.diff([*network.stamps, time.thread_time_ns()]) / 1e6


def run() -> dict[str, np.ndarray]:
    """Milliseconds of each arm: repeats x pieces."""
    torch.manual_seed(0)
    network = Timed(UNet(PigConfig.model_validate(Pig.presets["tiny"]).network, 2, 1, 1).eval())
    arms = {
        "bare": bare(network),
        "medsmith ddim": ours(network, "ddim"),
        "medsmith dpm++2m": ours(network, "dpm++2m"),
        "monai ddim": monais(network),
    }
    rows: dict[str, list[np.ndarray]] = {name: [] for name in arms}
    for repeat in range(-2, REPEATS):
        for name in np.roll(list(arms), repeat):
            row = measured(arms[name], network)
            if repeat >= 0:  # the first two warm up
                rows[name].append(row)
    return {name: np.array(each) for name, each in rows.items()}


def totals(rows: np.ndarray) -> tuple[float, float]:
    """Milliseconds between the calls and inside them, each piece the median over the repeats."""
    pieces = np.median(rows, axis=0)
    return float(pieces[::2].sum()), float(pieces[1::2].sum())


def outside(rows: np.ndarray, base: np.ndarray) -> float:
    """Share of the loop beside the network."""
    (gaps, calls), (base_gaps, base_calls) = totals(rows), totals(base)
    return gaps / calls - base_gaps / base_calls


def over_bare(rows: np.ndarray, base: np.ndarray) -> float:
    """How much longer the whole walk takes than the bare calls."""
    return sum(totals(rows)) / sum(totals(base)) - 1


def summary(figure: Callable[[np.ndarray, np.ndarray], float], rows: np.ndarray, base: np.ndarray) -> dict[str, float]:
    """The figure and its bootstrap 95 % interval over the repeats."""
    draw = np.random.default_rng(0)
    chosen = [draw.integers(len(rows), size=len(rows)) for _ in range(1000)]
    low, high = np.percentile([figure(rows[pick], base[pick]) for pick in chosen], (2.5, 97.5))
    return {"value": round(figure(rows, base), 5), "low": round(float(low), 5), "high": round(float(high), 5)}


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        rows = run()
    base = rows.pop("bare")
    loops = {
        name: {
            "outside": summary(outside, each, base),
            "over_bare": summary(over_bare, each, base),
            "gap_us": round(1000 * totals(each)[0] / STEPS, 1),
        }
        for name, each in rows.items()
    }
    result = {
        "command": "python benchmarks/core/loop_overhead.py",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "load_average": round(os.getloadavg()[0], 1),
        "versions": {name: metadata.version(name) for name in ("torch", "monai", "numpy")},
        "steps": STEPS,
        "repeats": REPEATS,
        "network_call_ms": round(totals(base)[1] / STEPS, 3),
        "loops": loops,
    }
    (HERE / "loop_overhead.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
