"""What the VQGAN gives back: error in HU by organ and use of the codebook, after a few minutes of training.

python benchmarks/lesiondiffusion/autoencoder.py TRAIN TEST [STEPS] [CASES]

TRAIN and TEST are cohorts of CT phantoms. Trains the autoencoder of the `tiny` preset, 16 channels wide, with its
discriminators on cubes around lesions; measures the averaged weights on a cube of 64 voxels from the middle of each
test case, in tiles.
"""

import sys
import time
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from medsmith import Cohort
from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.data.batches import batches_of
from medsmith.data.hounsfield_scale import hu_to_model
from medsmith.formats.atomic import write_json
from medsmith.insertion.annotated_lesion import largest_lesion
from medsmith.insertion.frame import AIR_HU
from medsmith.machine import facts
from medsmith.methods.lesiondiffusion.config import PRESETS, LesionDiffusionConfig
from medsmith.networks.autoencoder_losses import vqgan_discriminator_loss, vqgan_loss
from medsmith.networks.discriminator import Discriminators
from medsmith.networks.fidelity import Volume, measure_fidelity
from medsmith.networks.vqgan import VQGAN

HERE = Path(__file__).parent
STEPS, CASES, BATCH, DISCRIMINATOR_FROM, EDGE = 1200, 200, 2, 300, 64
RATE, AVERAGE, WIDTH = 1e-3, 0.99, 16


def main(train: Path, test: Path, steps: int, cases: int) -> None:
    torch.set_num_threads(1)
    config = PRESETS["tiny"]
    assert isinstance(config, LesionDiffusionConfig)
    cohort, held_out = Cohort.open(train), Cohort.open(test)
    began = time.monotonic()
    vqgan = trained(cohort, config, steps, cases)
    seconds = time.monotonic() - began
    volumes = [middle_of(held_out, id) for id in held_out.ids[: max(8, cases // 8)]]
    found = measure_fidelity(vqgan, volumes, held_out.label_names)
    result = {
        "steps": steps,
        "n": len(volumes),
        "training_cases": min(cases, len(cohort)),
        "training_seconds": round(seconds),
        "codes": vqgan.config.codes,
        "codes_used": round(found.codes_used, 3),
        "perplexity": round(found.perplexity, 1),
        "mean_error_hu": {name: round(value, 1) for name, value in found.mean_error_hu.items()},
        "facts": facts(),
    }
    write_json(HERE / "autoencoder.json", result)
    print(result)


def trained(cohort: Cohort, config: LesionDiffusionConfig, steps: int, cases: int) -> VQGAN:
    """Equation 3 on cubes about lesions; the averaged weights."""
    torch.manual_seed(0)
    vqgan, discriminators = (
        VQGAN(config.vqgan.model_copy(update={"channels": WIDTH})).train(),
        Discriminators(config.discriminator).train(),
    )
    autoencoding = config.autoencoding.model_copy(update={"discriminator_from": DISCRIMINATOR_FROM})
    average = AveragedModel(vqgan, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
    players = [(vqgan, vqgan_loss), (discriminators, vqgan_discriminator_loss)]
    optimizers = [torch.optim.AdamW(part.parameters(), RATE) for part, _ in players]
    batches = batches_of([{"image": cube_of(cohort, id, config)} for id in cohort.ids[:cases]], BATCH, 0, (0, 1, 2))
    for step in range(steps):
        image = batches(step)["image"]
        for number, ((part, loss_of), optimizer) in enumerate(zip(players, optimizers, strict=True)):
            for other, _ in players:
                other.requires_grad_(other is part)
            draw = torch.Generator().manual_seed(2 * step + number)
            loss = loss_of(vqgan, discriminators, image, autoencoding, draw)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        average.update_parameters(vqgan)
        if step % 100 == 0:
            print(step, float(loss.detach()), flush=True)
    vqgan.load_state_dict({**vqgan.state_dict(), **dict(average.module.named_parameters())})
    return vqgan.eval().requires_grad_(False)


def cube_of(cohort: Cohort, id: str, config: LesionDiffusionConfig) -> torch.Tensor:
    case = cohort[id]
    lesion = largest_lesion(case)
    frame = config.paint.frame.about(lesion.box, canonical_geometry(case.geometry))
    cube = frame.resample_in(canonical_view(case.require_image()[0], case.geometry), AIR_HU)
    return torch.from_numpy(hu_to_model(cube))[None]


def middle_of(cohort: Cohort, id: str) -> Volume:
    case = cohort[id]
    middle = tuple(slice(count // 2 - EDGE // 2, count // 2 + EDGE // 2) for count in case.geometry.shape)
    return case.require_image()[0][middle], case.require_labels()[middle]


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[3:5]]
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(numbers + [STEPS, CASES][len(numbers) :]))
