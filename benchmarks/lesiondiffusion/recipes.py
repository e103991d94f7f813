"""Ways from a report to a lesion with the same weights: the paper's, ours, and ours with one measure less."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDIMScheduler
from torch import Tensor

from medsmith.diffusion import (
    Correction,
    Denoiser,
    DiffusionProcess,
    Observe,
    Sampling,
    SamplingStep,
    SeededNoise,
)
from medsmith.diffusion.corrections import NoiseSource
from medsmith.insertion.frame import FrameConfig
from medsmith.methods.lesiondiffusion import LesionDiffusion
from medsmith.networks.precision import Compute, Precision
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import attributes_for
from medsmith.runs.checkpoints import apply_compute, find_run, load_method, read_record
from medsmith.text.embeddings import PhraseTable
from medsmith.text.encoded_vocabulary import Consumer, EncodedVocabulary
from medsmith.text.encoders import MiniLM
from medsmith.text.phrases import FAMILIES

MILLIMETRE = FrameConfig(size=128, finest_mm=1.0, coarsest_mm=1.0)
CONSUMERS: tuple[Consumer, ...] = ("mask", "image")


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
    def sampling(self) -> Sampling:
        return Sampling(solver="ddim" if self.walk == "MONAI DDIM" else "dpm++2m", steps=self.steps)

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
def cooked(run: str, recipe: Recipe, text_clock: Callable[[], Any] = ExitStack) -> Iterator[LesionDiffusion]:
    """A trained LesionDiffusion that works by a recipe inside.

    Args:
        run: a run folder, or the name of shipped weights.
        recipe: how.
        text_clock: gives a context that text is encoded in.
    """
    method, record = load_method(run), read_record(find_run(run))
    assert isinstance(method, LesionDiffusion)
    formats = {stage.name: Compute(precision=recipe.precision) for stage in method.stages()}
    apply_compute(method, record.model_copy(update={"compute": formats}))
    if recipe.cube == "128 at 1 mm":
        wide = {
            part: getattr(method.config, part).model_copy(update={"frame": MILLIMETRE}) for part in ("mask", "paint")
        }
        method.config = method.config.model_copy(update=wide)
    with ExitStack() as stack:
        if recipe.walk == "MONAI DDIM":
            stack.enter_context(patch.object(DiffusionProcess, "sample_one", by_monai))
        if recipe.text == "encoded":
            encoder, known = MiniLM(), method.vocabulary
            encoded = {name: Encoded(known(name), name, encoder, text_clock) for name in CONSUMERS}
            stack.enter_context(patch.object(method, "vocabulary", encoded.__getitem__))
        yield method


class CorrectedDDIM:
    """MONAI's DDIM for a network that answers with the clean image; corrections are applied after every step.

    Args:
        process: whose schedule is walked.
        sampling: how many steps; the solver is DDIM, whatever it says.
        corrections: applied in order.
        fresh: noise of the state's shape.
        observe: told of every step.
    """

    def __init__(
        self,
        process: DiffusionProcess,
        sampling: Sampling,
        corrections: Sequence[Correction],
        fresh: NoiseSource,
        observe: Observe | None,
    ) -> None:
        self._ddim = DDIMScheduler(len(process.schedule), prediction_type="sample", clip_sample=False)
        self._ddim.alphas_cumprod = (process.schedule.signal**2).float()
        self._ddim.set_timesteps(sampling.steps)
        self.timesteps: Tensor = self._ddim.timesteps
        self._stride, self._steps = len(process.schedule) // sampling.steps, sampling.steps
        self._corrections, self._fresh, self._observe = corrections, fresh, observe
        self._done = 0

    def start(self, noise: Tensor) -> Tensor:
        """The noise, with the corrections that act on it."""
        first = self.timesteps[:1].to(noise.device)
        for correct in self._corrections:
            noise = correct(noise, first, self._fresh) if correct.from_start else noise
        return noise

    def step(self, answer: Tensor, timestep: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """The state after one step, and the clean image that it was made from."""
        state, clean = self._ddim.step(answer, timestep, sample)
        time, reached = int(timestep), max(int(timestep) - self._stride, -1)
        for correct in self._corrections:
            state = correct(state, torch.full((len(state),), reached, device=state.device), self._fresh)
        self._done += 1
        if self._observe is not None:
            self._observe(SamplingStep(state, clean, time, reached, self._done, self._steps))
        return state, clean


def by_monai(
    process: DiffusionProcess,
    denoise: Denoiser,
    shape: tuple[int, ...],
    seed: int,
    sampling: Sampling,
    *,
    device: torch.device | str = "cpu",
    temperature: float = 1.0,
    corrections: Sequence[Correction] = (),
    observe: Observe | None = None,
) -> Tensor:
    """`DiffusionProcess.sample_one` by MONAI's inferer and scheduler; the denoiser, with its guidance, is the same."""
    noise = SeededNoise((seed,), temperature)

    def fresh() -> Tensor:
        return noise(*shape).to(device)

    def network(x: Tensor, timesteps: Tensor, context: None = None) -> Tensor:  # noqa: ARG001
        return denoise(x, timesteps.long())

    with torch.inference_mode():
        first = fresh()
        walk = CorrectedDDIM(process, sampling, corrections, fresh, observe)
        state: Tensor = DiffusionInferer(walk).sample(walk.start(first), network, walk, verbose=False)
        return state[0].float().cpu()


class Encoded:
    """A vocabulary whose phrases the text network encodes for every lesion.

    The table holds the same vectors at half precision; they are what the networks get, so that text costs and nothing
    else changes.
    """

    def __init__(
        self, vocabulary: EncodedVocabulary, consumer: Consumer, encoder: MiniLM, clock: Callable[[], Any]
    ) -> None:
        self._vocabulary, self._consumer, self._encoder, self._clock = vocabulary, consumer, encoder, clock

    def of(self, report: LesionReport) -> Tensor:
        with self._clock():
            self._encoder.encode(phrases(report, self._consumer))
        return self._vocabulary.of(report)

    @property
    def null(self) -> Tensor:
        return self._vocabulary.null


def phrases(report: LesionReport, consumer: Consumer) -> list[str]:
    """One phrase per attribute that a network reads, the empty one where nothing is said."""
    said = [getattr(report, row.name) for row in attributes_for(consumer)]
    return [", ".join(map(str, each)) if isinstance(each, tuple) else str(each or "") for each in said]


def text_difference() -> float:
    """Largest difference between a phrase's vector in the table and by the network."""
    table, words = PhraseTable.load(), list(FAMILIES["shape"])
    known = np.stack([table.vector("shape", word) for word in words])
    return float(np.abs(MiniLM().encode(words) - known).max())
