"""The synthetic cohorts behind the paper's Table 1, each by a model that was trained for the same number of minutes.

    python benchmarks/lldm/lldm_rows.py WORK [ROW ...] [--minutes 20] [--count 40] [--size 32,48,32]

WORK holds what lldm_cohorts.py writes. Models go to WORK/runs/ROW, cohorts to WORK/rows/ROW; both are continued.

    ha-gan            see ha_gan.py
    ddpm              a diffusion model of voxels: mddpm in 3-D, unguided
    ldm-vq, ldm-kl    lldm on images alone, latents of a VQGAN or of a KL autoencoder
    lldm              label map from noise, image by the ControlNet
    lldm-deformed     the same run, label maps of training, deformed
    lldm-real-maps    the same run, label maps of WORK/test
    coded-vq, coded-kl, coded-lldm    images of WORK/test through the autoencoder of such a run: the decoder's share
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ha_gan import HaGan, train_step
from lldm_shared import fingerprint_of
from safetensors.torch import load_file, save_file
from torch import Tensor

from medsmith import Cohort, SynthesisOptions, synthesize, train
from medsmith.cases.case import Case
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import image_to_model
from medsmith.errors import MedsmithError
from medsmith.methods.base import assemble
from medsmith.methods.lldm import Lldm
from medsmith.networks.tiling import decode_in_tiles, encode_in_tiles
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis import Limits
from medsmith.training import Budget

SEED, BATCH, KEEP_SECONDS = 11, 4, 60
# Two stages instead of five: more steps in the same minutes.
_IMAGES_ALONE = ("autoencoder_training.steps=1200", "training.steps=1400")
SETTINGS: Mapping[str, tuple[str, Sequence[str]]] = {
    "ddpm": ("mddpm", ("training.precision=float32", "training.batch=4", "training.flips=[]", "training.steps=2000",
                       "network.channels=[32,64,96]", "network.attention=[false,false,true]", "training.ema=0.995")),
    "ldm-vq": ("lldm", ("image_autoencoder.codes=256", *_IMAGES_ALONE)),
    "ldm-kl": ("lldm", _IMAGES_ALONE),
    "ldm-ddpm": ("lldm", ("diffusion.schedule=scaled_linear", "diffusion.prediction=noise", "sampling.solver=ddim",
                          "label_sampling.solver=ddim", *_IMAGES_ALONE)),
    "lldm": ("lldm", ()),
}  # fmt: skip
"""Run -> method and changes to its preset; ldm-ddpm is that of sampling_cost.py."""
REQUESTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddpm": ("ddpm", {}),
    "ldm-vq": ("ldm-vq", {}),
    "ldm-kl": ("ldm-kl", {}),
    "lldm": ("lldm", {}),
    "lldm-deformed": ("lldm", {"maps": "deformed"}),
    "lldm-real-maps": ("lldm", {"unusual": "flag"}),
}
"""Row -> its run and request."""
NOISY, ANY_NOISE = ("ddpm",), Limits(noise=1e6)
"""Rows whose images are still noise after these minutes: without the check that refuses every one of them."""
CODED = {"coded-vq": "ldm-vq", "coded-kl": "ldm-kl", "coded-lldm": "lldm"}
ROWS = ("ha-gan", *REQUESTS, *CODED)


def trained(work: Path, run: str, size: Sequence[int], minutes: float) -> Path:
    """A run, trained or continued up to its minutes."""
    method, settings = SETTINGS[run]
    cohort = Cohort.open(work / ("train" if run == "lldm" else "images"))
    settings = (f"size={list(size)}".replace(" ", ""), *settings)
    folder = work / "runs" / run
    train(method, cohort, folder, settings=settings, budget=Budget(minutes=minutes), progress=ConsoleProgress())
    return folder


def from_run(work: Path, row: str, size: Sequence[int], minutes: float, count: int) -> None:
    """A row that ``medsmith synthesize`` makes; what its checks refuse is made anew and counted in the provenance."""
    run, request = REQUESTS[row]
    if row == "lldm-real-maps":
        request = {**request, "labels": str(work / "test")}
    folder, out = trained(work, run, size, minutes), work / "rows" / row
    options = SynthesisOptions(limits=ANY_NOISE if row in NOISY else Limits())
    progress = ConsoleProgress()
    made = synthesize(folder, out, count=count, seed=SEED, request=request, options=options, progress=progress)
    print(row, made.line)


def ha_gan(work: Path, size: Sequence[int], minutes: float, count: int) -> None:
    """Trained for its minutes, or continued; then sampled."""
    cohort, facts, folder = (
        Cohort.open(work / "images"),
        fingerprint_of(Cohort.open(work / "images")),
        work / "runs" / "ha-gan",
    )
    torch.manual_seed(SEED)
    gan, path, spent = HaGan(size, len(cohort.channel_names)), folder / "gan.safetensors", 0.0
    if path.exists():
        state = load_file(path)
        spent = float(state.pop("spent"))
        gan.load_state_dict(state)
    images = torch.stack([image_to_model(case, facts, tuple(size)) for case in cohort])
    fit(gan, images, minutes * 60, spent, lambda seconds: _keep(gan, path, seconds))
    rng = torch.Generator().manual_seed(SEED)
    volumes = (gan.eval().sample(rng) for _ in range(count))
    write_images(work / "rows" / "ha-gan", volumes, facts)


def fit(gan: HaGan, images: Tensor, limit: float, spent: float, keep: Callable[[float], None]) -> None:
    """Train until so many seconds are spent; the moments of Adam start anew where training is continued."""
    optimizers, rng, kept = gan.optimizers(), torch.Generator().manual_seed(SEED + int(spent)), spent
    with ConsoleProgress().task("ha-gan", round(limit), round(spent)) as advance:
        while spent < limit:
            start = time.monotonic()
            loss = train_step(gan, optimizers, images[torch.randint(len(images), (BATCH,), generator=rng)], rng)
            before, spent = spent, min(spent + time.monotonic() - start, limit)
            advance(round(spent) - round(before), f"loss {loss:.2f}")
            if spent - kept > KEEP_SECONDS or spent >= limit:
                keep(spent)
                kept = spent


def _keep(gan: HaGan, path: Path, spent: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({**gan.state_dict(), "spent": torch.tensor(spent, dtype=torch.float64)}, path)


def write_images(out: Path, volumes: Any, facts: Fingerprint) -> None:
    """Volumes in model space as a cohort of images on the median grid."""
    cohort = Cohort.create(out, channel_names=facts.channel_names, label_names={"background": 0}, file_ending=".nii.gz")
    unlabeled = facts.model_copy(update={"label_names": {"background": 0}})
    for index, volume in enumerate(volumes):
        id = f"case-{index:04d}"
        if id not in cohort:
            made = assemble(volume, None, unlabeled)
            cohort.write(
                Case(id, made.image, None, made.geometry, facts.channel_names, {"background": 0},
                     np.dtype(np.float32), provenance={"synthetic": True})
            )  # fmt: skip
    cohort.finish()


def coded(work: Path, row: str, size: Sequence[int], minutes: float) -> None:
    """Test images encoded and decoded."""
    method = load_method(trained(work, CODED[row], size, minutes))
    assert isinstance(method, Lldm)
    facts = method.fingerprint

    def through(case: Case) -> Tensor:
        image = image_to_model(case, facts, tuple(size))[None]
        return decode_in_tiles(method.image_space, encode_in_tiles(method.image_space, image))[0].clamp(-1, 1)

    write_images(
        work / "rows" / row,
        (through(case) for case in Cohort.open(work / "test")),
        fingerprint_of(Cohort.open(work / "images")),
    )


def main(work: Path, rows: Sequence[str], size: Sequence[int], minutes: float, count: int) -> None:
    """Every row that is asked for, or all."""
    unknown = set(rows) - set(ROWS)
    if unknown:
        raise SystemExit(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    for row in rows or ROWS:
        if row == "ha-gan":
            ha_gan(work, size, minutes, count)
        elif row in CODED:
            coded(work, row, size, minutes)
        else:
            from_run(work, row, size, minutes, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--size", default="32,48,32")
    arguments = parser.parse_intermixed_args()
    try:
        edges = [int(edge) for edge in arguments.size.split(",")]
        main(arguments.work, arguments.rows, edges, arguments.minutes, arguments.count)
    except MedsmithError as error:
        sys.exit(error.line)
