"""Seconds and memory per volume beside MONAI's ControlNetLatentDiffusionInferer with the same networks and weights.

    python benchmarks/lldm/monai_cost.py WORK [--sizes 32,48,64,96] [--channels 48,96] [--ddpm-steps 5]

The networks of preset tiny on cubes of each size, with and without folding, which MONAI lacks; weights are random, as
the cost does not depend on them. Each measurement is a process of its own on one thread: the median of three volumes,
and by how much the peak resident set exceeds that before the first. All sample rectified flow with the preset's Euler
steps; MONAI's inferer also takes 1,000 steps of DDPM, of which --ddpm-steps are timed. The result goes to
monai_cost.json beside this file.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from lldm_shared import fingerprint_of
from monai.inferers.inferer import ControlNetLatentDiffusionInferer
from monai.networks.nets import ControlNet as MonaiControlNet
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDPMScheduler, RFlowScheduler
from torch import Tensor, nn

from medsmith import Cohort
from medsmith.errors import MedsmithError
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.methods.lldm import Lldm
from medsmith.methods.lldm.config import LldmConfig
from medsmith.methods.lldm.controls import Condition
from medsmith.networks.latent import LatentSpace
from medsmith.networks.tiling import decode_in_tiles

HERE = Path(__file__).parent
REPEATS, PAPER_STEPS, SEED = 3, 1000, 5
WAYS = ("medsmith", "medsmith-folded", "monai", "monai-ddpm")
KIB = 1024


@final
class Decoder(nn.Module):
    """An autoencoder as the inferer wants it."""

    def __init__(self, space: LatentSpace) -> None:
        super().__init__()
        self.space = space

    def decode_stage_2_outputs(self, z: Tensor) -> Tensor:
        """The volume of a state."""
        return self.space.decode(z)


def untrained(work: Path, edge: int, channels: Sequence[int], fold: int) -> Lldm:
    """A model with random weights, none of them zero."""
    cohort = Cohort.open(work / "test")
    fingerprint = fingerprint_of(cohort)
    preset = LldmConfig()
    network = preset.image_network.model_copy(update={"channels": tuple(channels), "space_to_depth": fold})
    config = preset.model_copy(update={"size": (edge,) * 3, "image_network": network})
    torch.manual_seed(SEED)
    method = Lldm(config, fingerprint)
    with torch.no_grad():
        for weights in method.parameters():
            weights.add_(0.02 * torch.randn_like(weights))
    return method.eval()


def condition_of(method: Lldm) -> Tensor:
    """A label latent."""
    grid = [edge // method.label_autoencoder.factor for edge in method.config.size]
    return torch.randn(1, method.config.label_autoencoder.latent, *grid, generator=torch.Generator().manual_seed(SEED))


def shape_of(method: Lldm) -> tuple[int, ...]:
    """Of the state of an image."""
    space = method.image_space
    return (space.channels, *(edge // space.factor for edge in method.config.size))


def ours(method: Lldm) -> Callable[[int], Tensor]:
    """A volume by this package."""
    seen, extent = [Condition("labels", condition_of(method), 1.0)], torch.zeros(1, 3)
    denoise = method.process.denoiser(method.image_from(extent), (method.controlled(seen, extent), 1.0))

    def volume(seed: int) -> Tensor:
        state = method.process.sample_one(denoise, shape_of(method), seed, method.config.sampling)
        return decode_in_tiles(method.image_space, state[None])[0]

    return volume


def of_monai(
    method: Lldm, scheduler: RFlowScheduler | DDPMScheduler, steps: int, timed: int
) -> Callable[[int], Tensor]:
    """A volume by MONAI's inferer; where fewer steps are timed than taken, the volume is unfinished."""
    network, latent = method.config.image_network, method.config.image_autoencoder.latent
    settings: dict[str, Any] = {
        "spatial_dims": 3,
        "in_channels": latent,
        "channels": network.channels,
        "attention_levels": network.attention,
        "num_res_blocks": network.residual_blocks,
        "num_head_channels": network.head_channels,
        "norm_num_groups": network.groups,
    }
    unet = DiffusionModelUNet(out_channels=latent, **settings).eval()
    unet.load_state_dict(method.image_network.network.state_dict())
    control = MonaiControlNet(
        conditioning_embedding_in_channels=method.config.label_autoencoder.latent,
        conditioning_embedding_num_channels=network.channels[:1],
        **settings,
    ).eval()
    control.load_state_dict(method.control("labels").network.state_dict())
    scheduler.set_timesteps(steps)
    scheduler.timesteps = scheduler.timesteps[:timed]
    inferer = ControlNetLatentDiffusionInferer(scheduler, scale_factor=1.0)
    decoder, condition = Decoder(method.image_space), condition_of(method)

    def volume(seed: int) -> Tensor:
        noise = torch.randn(1, *shape_of(method), generator=torch.Generator().manual_seed(seed))
        made: Tensor = inferer.sample(noise, decoder, unet, control, condition, verbose=False)
        return made[0]

    return volume


def measured(work: Path, way: str, edge: int, channels: Sequence[int], ddpm_steps: int) -> Mapping[str, float]:
    """Median seconds of a volume, the memory it takes, and its mean and spread."""
    torch.set_num_threads(1)
    fold = LldmConfig().image_network.space_to_depth if way == "medsmith-folded" else 1
    method = untrained(work, edge, channels, fold)
    steps = method.config.sampling.steps
    make = {
        "medsmith": lambda: ours(method),
        "medsmith-folded": lambda: ours(method),
        "monai": lambda: of_monai(method, RFlowScheduler(), steps, steps),
        "monai-ddpm": lambda: of_monai(method, DDPMScheduler(), PAPER_STEPS, ddpm_steps),
    }[way]()
    before, seconds = resident_mib(), []
    for seed in range(REPEATS):
        start = time.perf_counter()
        with torch.no_grad():
            volume = make(seed)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB
    found = {"seconds": float(np.median(seconds)), "mib": peak - before, "spread": float(volume.std())}
    if way == "monai-ddpm":
        found["decode"] = seconds_of_decoding(method)
        found["seconds"] = found["decode"] + (found["seconds"] - found["decode"]) / ddpm_steps * PAPER_STEPS
    return found


def seconds_of_decoding(method: Lldm) -> float:
    """Of one volume as a whole."""
    state = torch.randn(1, *shape_of(method))
    start = time.perf_counter()
    with torch.no_grad():
        method.image_space.decode(state)
    return time.perf_counter() - start


def resident_mib() -> float:
    """Resident set of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / KIB**2


def main(asked: argparse.Namespace) -> None:
    """Every size and way, each in a process of its own."""
    rows = []
    for edge in map(int, asked.sizes.split(",")):
        for way in WAYS:
            words = [str(asked.work), "--way", way, "--sizes", str(edge), "--channels", asked.channels]
            command = [sys.executable, __file__, *words, "--ddpm-steps", str(asked.ddpm_steps)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append({"edge": edge, "way": way, **json.loads(answer.splitlines()[-1])})
            print(rows[-1], flush=True)
    about = {"repeats": REPEATS, "steps": LldmConfig().sampling.steps, "channels": asked.channels}
    write_json(HERE / "monai_cost.json", {"rows": rows, **about, "ddpm_steps": PAPER_STEPS, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sizes", default="32,48,64,96")
    parser.add_argument("--channels", default="48,96", help="of the diffusion model")
    parser.add_argument("--ddpm-steps", type=int, default=5, dest="ddpm_steps")
    parser.add_argument("--way", choices=WAYS, help="measure this one here")
    arguments = parser.parse_args()
    try:
        if arguments.way:
            widths = [int(width) for width in arguments.channels.split(",")]
            found = measured(arguments.work, arguments.way, int(arguments.sizes), widths, arguments.ddpm_steps)
            print(json.dumps(found))
        else:
            main(arguments)
    except MedsmithError as error:
        sys.exit(error.line)
