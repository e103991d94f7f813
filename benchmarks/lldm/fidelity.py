"""What the autoencoders keep of cases that no model saw: PSNR and SSIM of images, Dice of label maps, seams of tiles.

    python benchmarks/lldm/fidelity.py WORK [--data hippocampus] [RUN ...]

WORK holds what lldm_cohorts.py and lldm_rows.py write; runs are names in WORK/runs, by default lldm, ldm-kl and ldm-vq.
Images and maps of WORK/test are encoded and decoded on the grid of the network, where they are also compared. PSNR and
SSIM refer to the range of model space. Seams: the largest difference between decoding a latent in tiles of a quarter of
its edge and as a whole, within two voxels of a seam and elsewhere, as a share of the range. Intervals: BCa bootstrap
over cases. The result goes to fidelity-DATA.json beside this file.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from lldm_shared import estimate
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from medsmith import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.errors import MedsmithError
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.measurement.overlap import dice
from medsmith.methods.lldm import Lldm
from medsmith.networks.labels import most_likely
from medsmith.networks.latent import LatentSpace
from medsmith.networks.tiling import decode_in_tiles
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
RUNS, SEAM_WIDTH = ("lldm", "ldm-kl", "ldm-vq"), 2


def of_image(space: LatentSpace, image: Float32[Tensor, "c *space"]) -> Mapping[str, float]:
    """How near the decoded image is, and the seams of its tiles."""
    with torch.no_grad():
        latent = space.encode(image[None])
        whole = space.decode(latent).clamp(-1, 1)
    before, after = image[0].numpy(), whole[0, 0].numpy()
    found = {
        "PSNR": float(peak_signal_noise_ratio(before, after, data_range=2)),
        "SSIM": float(structural_similarity(before, after, data_range=2)),
    }
    return {**found, **seams(space, latent, whole)}


def seams(space: LatentSpace, latent: Tensor, whole: Tensor) -> Mapping[str, float]:
    """Difference of decoding in tiles, near the seams and elsewhere."""
    tile = max(1, min(latent.shape[2:]) // 4)
    difference = (decode_in_tiles(space, latent, tile).clamp(-1, 1) - whole).abs()[0, 0].numpy() / 2
    near = np.zeros(difference.shape, bool)
    for axis, edge in enumerate(difference.shape):
        for seam in range(tile * space.factor, edge, tile * space.factor):
            where = [slice(None)] * difference.ndim
            where[axis] = slice(seam - SEAM_WIDTH, seam + SEAM_WIDTH)
            near[tuple(where)] = True
    return {"at seams": float(difference[near].max()), "elsewhere": float(difference[~near].max(initial=0.0))}


def of_labels(method: Lldm, labels: Tensor) -> Mapping[str, float]:
    """Dice of every class after the round trip; NaN where it is absent."""
    with torch.no_grad():
        again = most_likely(method.label_autoencoder.decode(method.label_state(labels)))[0].numpy()
    before = labels[0].numpy()
    names = foreground_names(method.fingerprint.label_names)
    return {
        f"Dice of {name}": dice(again == value, before == value) if (before == value).any() else float("nan")
        for value, name in enumerate(names, start=1)
    }


def main(work: Path, runs: Sequence[str], data: str) -> None:
    """Every run on all test cases."""
    torch.set_num_threads(1)
    result = {}
    for run in runs:
        method = load_method(work / "runs" / run)
        assert isinstance(method, Lldm)
        rows: dict[str, list[float]] = {}
        for case in Cohort.open(work / "test"):
            example = method.prepare(case)
            found = dict(of_image(method.image_space, example["image"].float()))
            found |= of_labels(method, example["labels"]) if method.has_labels else {}
            for name, value in found.items():
                rows.setdefault(name, []).append(value)
        result[run] = {name: estimate(np.array(values)) for name, values in rows.items()}
        result[run] |= {name: {"largest": max(rows[name])} for name in ("at seams", "elsewhere")}
        print(run, result[run], flush=True)
    write_json(HERE / f"fidelity-{data}.json", {"runs": result, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("runs", nargs="*", default=RUNS)
    parser.add_argument("--data", default="hippocampus", help="for the name of the result")
    arguments = parser.parse_intermixed_args()
    try:
        main(arguments.work, arguments.runs or RUNS, arguments.data)
    except MedsmithError as error:
        sys.exit(error.line)
