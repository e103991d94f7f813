"""Ways from a report to a lesion with the same weights: the paper's, ours, and ours with one measure less."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor

from medsmith.compute import Compute, Precision
from medsmith.conditioning.embeddings import PhraseTable
from medsmith.conditioning.encoders import MiniLM
from medsmith.conditioning.phrases import FAMILIES
from medsmith.conditioning.schema import LesionReport
from medsmith.conditioning.vocabulary import attributes_for
from medsmith.diffusion import Denoiser, NoiseSchedule, Sampling, SeededNoise, Solver
from medsmith.insertion.frame import FrameConfig
from medsmith.methods.lesiondiffusion import generator

MILLIMETRE = FrameConfig(size=128, finest_mm=1.0, coarsest_mm=1.0)


@dataclass(frozen=True)
class Recipe:
    """One way. All of them guide: two network calls per step.

    Attributes:
        walk: DPM-Solver++(2M) in medsmith's loop, or DDIM (eta 0) in MONAI's.
        steps: of each of the two walks.
        precision: of the network passes.
        cube: the box takes 5/8 of the cube, as the weights were trained, or 128 voxels at 1 mm for every lesion.
        text: vectors from the phrase table, or the text network for every lesion.
    """

    walk: Literal["DPM-Solver++(2M)", "MONAI DDIM"] = "DPM-Solver++(2M)"
    steps: int = 10
    precision: Precision = "bfloat16"
    cube: Literal["follows the box", "128 at 1 mm"] = "follows the box"
    text: Literal["cached", "encoded"] = "cached"

    @property
    def solver(self) -> Solver:
        return "ddim" if self.walk == "MONAI DDIM" else "dpm++2m"

    @property
    def calls(self) -> int:
        """Network calls per lesion: two networks, two calls per step."""
        return 4 * self.steps


OURS = Recipe()
PAPER = Recipe("MONAI DDIM", 200, "float32", "128 at 1 mm", "encoded")
RECIPES: Mapping[str, Recipe] = {
    "paper": PAPER,
    "paper, our cube": replace(PAPER, cube="follows the box", text="cached"),
    "ours": OURS,
    "ours without few steps": replace(OURS, walk="MONAI DDIM", steps=200),
    "ours without bfloat16": replace(OURS, precision="float32"),
    "ours without the cube that follows the box": replace(OURS, cube="128 at 1 mm"),
    "ours without cached text": replace(OURS, text="encoded"),
}


@contextmanager
def cooking(method: Any, recipe: Recipe, text_clock: Callable[[], Any] = ExitStack) -> Iterator[None]:
    """The method works by a recipe inside.

    Args:
        method: LesionDiffusion; put back as it was in the end.
        recipe: how.
        text_clock: gives a context that text is encoded in.
    """
    config, compute = method.config, method.compute
    with ExitStack() as stack:
        stack.callback(setattr, method, "config", config)
        stack.callback(setattr, method, "compute", compute)
        method.compute = Compute(precision=recipe.precision)
        if recipe.cube == "128 at 1 mm":
            wide = {part: getattr(config, part).model_copy(update={"frame": MILLIMETRE}) for part in ("mask", "paint")}
            method.config = config.model_copy(update=wide)
        if recipe.walk == "MONAI DDIM":
            stack.enter_context(patch.object(generator, "finished", by_monai))
        if recipe.text == "encoded":
            encoder, known = MiniLM(), method.vocabulary
            encoded = {name: Encoded(known(name), name, encoder, text_clock) for name in ("mask", "image")}
            stack.enter_context(patch.object(method, "vocabulary", encoded.__getitem__))
        yield


def by_monai(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    shape: tuple[int, ...],
    seed: int,
    sampling: Sampling,
    device: torch.device,
    temperature: float = 1.0,
) -> Tensor:
    """`medsmith.method.finished` by MONAI's inferer and scheduler; the denoiser, with its guidance, is the same."""
    scheduler = DDIMScheduler(len(schedule), prediction_type="sample", clip_sample=False)
    scheduler.alphas_cumprod = (schedule.signal**2).float()
    scheduler.set_timesteps(sampling.steps)

    def network(x: Tensor, timesteps: Tensor, context: None = None) -> Tensor:  # noqa: ARG001
        return denoise(x, timesteps.long())

    noise = SeededNoise((seed,), temperature)(*shape).to(device)
    with torch.inference_mode():
        return DiffusionInferer(scheduler).sample(noise, network, scheduler, verbose=False)[0].float().cpu()


class Encoded:
    """A vocabulary whose phrases the text network encodes for every lesion.

    The table holds the same vectors at half precision; they are what the networks get, so that text costs and nothing
    else changes.
    """

    def __init__(self, vocabulary: Any, consumer: str, encoder: MiniLM, clock: Callable[[], Any]) -> None:
        self._vocabulary, self._consumer, self._encoder, self._clock = vocabulary, consumer, encoder, clock

    def of(self, report: LesionReport) -> Tensor:
        with self._clock():
            self._encoder.encode(phrases(report, self._consumer))
        return self._vocabulary.of(report)

    @property
    def null(self) -> Tensor:
        return self._vocabulary.null


def phrases(report: LesionReport, consumer: Any) -> list[str]:
    """One phrase per attribute that a network reads, the empty one where nothing is said."""
    said = [getattr(report, row.name) for row in attributes_for(consumer)]
    return [", ".join(map(str, each)) if isinstance(each, tuple) else str(each or "") for each in said]


def text_difference() -> float:
    """Largest difference between a phrase's vector in the table and by the network."""
    table, words = PhraseTable.load(), list(FAMILIES["shape"])
    known = np.stack([table.vector("shape", word) for word in words])
    return float(np.abs(MiniLM().encode(words) - known).max())
