"""How hard the breast phantoms are: Dice of a small U-Net against the number of training cases.

Trains with the same number of steps on 10, 25, 50, 100 and 200 phantoms and tests on 100 others. Writes
results.json and curve.png beside this file. Run: python benchmarks/phantoms/difficulty.py
"""

import json
import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import monai
import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet

from medsmith.phantoms.breast.phantom import BreastPhantom
from medsmith.phantoms.family import case_seed

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Plan:
    """One run of the benchmark."""

    counts: tuple[int, ...] = (10, 25, 50, 100, 200)
    test_cases: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    size: int = 64
    steps: int = 400
    batch: int = 16
    learning_rate: float = 2e-3
    channels: tuple[int, ...] = (20, 40, 80, 160)


def draw(cohort_seed: int, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Images in -1..1 (n 1 h w), masks (n 1 h w), and each mass's echo pattern."""
    cases = [BreastPhantom().make(case_seed("breast", cohort_seed, index), f"{index}", size) for index in range(count)]
    images = torch.from_numpy(np.stack([case.require_image()[..., 0] for case in cases])) / 127.5 - 1
    masks = torch.from_numpy(np.stack([case.require_labels()[None, ..., 0] for case in cases])).float()
    return images, masks, [case.report["lesions"][0]["echo_pattern"] for case in cases if case.report is not None]


def build(plan: Plan) -> torch.nn.Module:
    """A residual U-Net."""
    strides = (2,) * (len(plan.channels) - 1)
    return UNet(2, 1, 1, plan.channels, strides, num_res_units=1)


def train(plan: Plan, images: torch.Tensor, masks: torch.Tensor, seed: int) -> torch.nn.Module:
    """Adam on Dice and cross-entropy, mirrored left to right at random, learning rate falling to zero."""
    torch.manual_seed(seed)
    network = build(plan).train()
    loss_of = DiceCELoss(sigmoid=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    rng = np.random.default_rng(seed)
    for _ in range(plan.steps):
        chosen = rng.choice(len(images), plan.batch, replace=len(images) < plan.batch)
        flip = (2,) if rng.uniform() < 0.5 else ()
        with torch.autocast("cpu", torch.bfloat16):
            predicted = network(images[chosen].flip(flip))
        loss = loss_of(predicted.float(), masks[chosen].flip(flip))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return network.eval()


@torch.no_grad()
def dice(network: torch.nn.Module, images: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
    """Dice per case, the network's output cut at one half."""
    found = (network(images) > 0).float()
    overlap = (found * masks).sum(dim=(1, 2, 3))
    return (2 * overlap / (found.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3)))).numpy()


def interval(per_case: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Bootstrap 95 % interval of the mean over cases (of the mean over seeds)."""
    means = rng.choice(per_case, (10_000, per_case.size)).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def measure(plan: Plan) -> list[dict[str, object]]:
    """One row per number of training cases."""
    images, masks, _ = draw(0, max(plan.counts), plan.size)
    test_images, test_masks, patterns = draw(1, plan.test_cases, plan.size)
    rng, rows = np.random.default_rng(0), []
    for count in plan.counts:
        scores = np.stack(
            [dice(train(plan, images[:count], masks[:count], seed), test_images, test_masks) for seed in plan.seeds]
        )
        per_case = scores.mean(axis=0)
        row = {
            "train_cases": count,
            "dice": float(per_case.mean()),
            "interval_95": interval(per_case, rng),
            "dice_of_each_seed": scores.mean(axis=1).tolist(),
            "dice_by_echo_pattern": {
                name: float(per_case[[pattern == name for pattern in patterns]].mean())
                for name in sorted(set(patterns))
            },
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def plot(rows: list[dict[str, Any]], plan: Plan) -> None:
    """The curve with its intervals."""
    counts = [row["train_cases"] for row in rows]
    low, high = np.array([row["interval_95"] for row in rows]).T
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    axes.fill_between(counts, low, high, alpha=0.25, label="95 % bootstrap interval over test cases")
    axes.plot(counts, [row["dice"] for row in rows], "o-", label=f"mean of {len(plan.seeds)} seeds")
    axes.set(xscale="log", xticks=counts, xticklabels=counts, ylim=(0, 1))
    axes.minorticks_off()
    axes.set(xlabel="training phantoms", ylabel=f"Dice on {plan.test_cases} others")
    axes.set_title(f"Breast phantoms, {plan.size} x {plan.size}, {plan.steps} steps", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(HERE / "curve.png", dpi=120)


def main() -> None:
    """Measures, writes results.json and curve.png."""
    plan, started = Plan(), time.perf_counter()
    rows = measure(plan)
    record = {
        "plan": asdict(plan),
        "parameters": sum(weights.numel() for weights in build(plan).parameters()),
        "phantom_revision": BreastPhantom.revision,
        "results": rows,
        "seconds": round(time.perf_counter() - started),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {"torch": torch.__version__, "monai": monai.__version__},
        "command": "python benchmarks/phantoms/difficulty.py",
    }
    (HERE / "results.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    plot(rows, plan)


if __name__ == "__main__":
    main()
