"""Rivals that are trained on label maps: segmentation-guided diffusion, a ControlNet on the model of mDDPM, and lldm.

    python benchmarks/mddpm/rivals.py WORK [--minutes 30] [--steps 1500] [--count 60] [segguided] [controlnet] [lldm]

All learn from the 6 labeled patients (WORK/labeled) with body and lung as further classes, as mDDPM's anatomy maps have
them, and follow WORK/maps: maps that the shape space draws. The image networks of lldm also learn from WORK/unlabeled;
its row "ldm" has the same maps and ignores them. mDDPM's own model needs no labels. Rows: WORK/rows/NAME for table.py
and adherence.py. An interrupted segguided or lldm goes on; the ControlNet keeps its weights when it is finished.
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from cohorts import fitted_space
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import AdamW

from medsmith import Cohort, synthesize
from medsmith.anatomy.writing import write_anatomies
from medsmith.cases.case import Case
from medsmith.data.scaling import image_to_model, labels_to_model
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError
from medsmith.methods.base import assemble
from medsmith.methods.mddpm import Mddpm
from medsmith.networks.controlnet import ControlNet
from medsmith.preparation import merge
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis.checks.images import not_a_copy
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.training import Budget, train

SEED, BATCH, RATE = 5, 8, 1e-4
SETTINGS = ("network.channels=[64,96,128]", "training.batch=8", "training.ema=0.999", "training.steps=8000")
LATENT = (
    "size=[64,64]", "autoencoder_training.steps=3000", "autoencoder_training.batch=8", "training.steps=6000",
    "training.batch=16", "training.ema=0.999", "control_training.steps=4000", "control_training.batch=16",
    "control_training.ema=0.999",
)  # fmt: skip
FURTHER = ("training.precision=float32", "size=[64,64]", "training.flips=[]")


def with_regions(work: Path) -> Cohort:
    """The labeled slices with body and lung among their labels."""
    space, labeled = fitted_space(work), Cohort.open(work / "labeled")
    names = space.record.region_names
    out = Cohort.create(work / "regions", channel_names=("gray",), label_names=names, file_ending=".png")
    for id in labeled.ids:
        if id not in out:
            case = labeled[id]
            regions = space.regions_of(case)[..., None]
            out.write(replace(case, labels=regions, label_names=names, stored=np.dtype(np.uint8)))
    out.finish()
    return Cohort.open(out.root)


def maps(work: Path, count: int) -> Cohort:
    """Maps that the shape space draws."""
    return write_anatomies(fitted_space(work), work / "maps", count, SEED, size=(64, 64), progress=ConsoleProgress())


def segguided(work: Path, minutes: float, count: int) -> None:
    """Segmentation-guided diffusion (Konz et al. 2024), with the network of mDDPM."""
    run, settings = work / "segguided", (*SETTINGS, *FURTHER)
    progress = ConsoleProgress()
    train("segguided", with_regions(work), run, settings=settings, budget=Budget(minutes=minutes), progress=progress)
    request = {"labels": {"cohort": str(work / "maps")}, "unusual": "flag"}
    print(synthesize(run, work / "rows" / "segguided", count=count, seed=SEED, request=request, progress=progress).line)


def lldm(work: Path, minutes: float, count: int) -> None:
    """Latent diffusion with a ControlNet, and the same without its maps."""
    # These networks learn for --minutes in all, those of the maps included, which the rows do not use.
    cohort = merge((with_regions(work).root, work / "unlabeled"), work / "mixed", report=print)
    run, progress = work / "lldm", ConsoleProgress()
    train("lldm", cohort, run, settings=LATENT, budget=Budget(minutes=minutes), progress=progress)
    for row, weight in (("lldm", 1), ("ldm", 0)):
        request = {"labels": {"cohort": str(work / "maps")}, "unusual": "flag", "control": weight}
        print(synthesize(run, work / "rows" / row, count=count, seed=SEED, request=request, progress=progress).line)


def controlled(method: Mddpm, net: ControlNet, mask: Tensor, x: Tensor, t: Tensor) -> Float[Tensor, "b e *space"]:
    """The frozen network of mDDPM with the residuals of the ControlNet."""
    predicted: Tensor = method.network(x, t, residuals=net(x, t, mask.expand(len(x), *mask.shape[1:])))
    return predicted


def trained_control(method: Mddpm, work: Path, steps: int) -> ControlNet:
    """A ControlNet whose encoder starts as a copy; the U-Net stays as it is."""
    cohort, path = with_regions(work), work / "controlnet.safetensors"
    torch.manual_seed(SEED)
    net = ControlNet(method.config.network, 2, 1, len(cohort.label_names) - 1)
    if path.exists():
        net.load_state_dict(load_file(path))
        return net.eval()
    net.copy_encoder(method.network)
    method.requires_grad_(False)
    facts, size = method.fingerprint.model_copy(update={"label_names": dict(cohort.label_names)}), method.config.size
    images = torch.stack([image_to_model(case, facts, size) for case in cohort])
    masks = torch.stack([labels_to_model(case.require_labels(), facts, size) for case in cohort])
    optimizer, rng = AdamW(net.parameters(), RATE), torch.Generator().manual_seed(SEED)
    with ConsoleProgress().task("train the ControlNet", steps) as advance:
        for step in range(steps):
            chosen = torch.randint(len(images), (BATCH,), generator=rng)
            noised = method.process.noised(images[chosen], rng)
            loss = method.process.loss(controlled(method, net, masks[chosen], noised.x, noised.t), noised)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            advance(1, f"loss {loss.item():.4f}" if step % 50 == 0 else "")
    save_file(net.state_dict(), path)
    return net.eval()


def controlnet(work: Path, run: Path, steps: int, count: int) -> None:
    """Images of the ControlNet; which are near-copies of training slices is recorded, and none is refused."""
    method = load_method(run)
    assert isinstance(method, Mddpm)
    net, given = trained_control(method, work, steps), maps(work, count)
    names = dict(given.label_names)
    facts = method.fingerprint.model_copy(update={"label_names": names})
    out = Cohort.create(work / "rows" / "controlnet", channel_names=("gray",), label_names=names, file_ending=".png")
    training, shape = TrainingFacts.of(method.fingerprint, method.memory), (1, *method.config.size)
    for index, id in enumerate(given.ids):
        labels = given[id].require_labels()
        mask = labels_to_model(labels, facts, method.config.size)[None]
        denoise = method.process.denoiser(partial(controlled, method, net, mask))
        if id not in out:
            image = method.process.sample_one(denoise, shape, derive_seed(SEED, index), method.config.sampling)
            made = assemble(image, None, method.fingerprint)
            record = {"synthetic": True, "copy": not_a_copy(made, training, Limits()).outcome == "failed"}
            stored = np.dtype(np.uint8)
            out.write(Case(id, made.image, labels, made.geometry, ("gray",), names, stored, provenance=record))
    out.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rivals", nargs="*", default=["segguided", "controlnet", "lldm"])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_intermixed_args()
    try:
        torch.set_num_threads(1)
        maps(arguments.work, arguments.count)
        if "controlnet" in arguments.rivals:
            controlnet(arguments.work, arguments.run or arguments.work / "run", arguments.steps, arguments.count)
        if "segguided" in arguments.rivals:
            segguided(arguments.work, arguments.minutes, arguments.count)
        if "lldm" in arguments.rivals:
            lldm(arguments.work, arguments.minutes, arguments.count)
    except MedsmithError as error:
        sys.exit(error.line)
