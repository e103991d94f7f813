"""The arms of the comparison of recipes, and the segmentation network that is trained for one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float64
from recipe_phantoms import PHANTOMS
from recipe_sources import Subset, loaded
from torch import Tensor, nn

from medsmith.evaluation.downstream.augmentation import Augment, StrongAugmentation, random_flip
from medsmith.evaluation.downstream.copy_paste import CopyPaste
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.evaluation.downstream.segmenter import (
    Cases,
    Mixture,
    Phase,
    SegmenterConfig,
    build_segmenter,
    class_shares,
    dice_of_cases,
    train_segmenter,
)
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.progress import ConsoleProgress
from medsmith.runs.checkpoints import pack, unpack

BASE, LONGER, PASTE, SELF = "R", "R, twice the steps", "R + copy-paste", "R + self-training"
STRONG = StrongAugmentation()
AUGMENTED: Mapping[str, Augment] = {
    BASE: STRONG,
    LONGER: STRONG,
    "R, flips only": random_flip,
    PASTE: CopyPaste().before(STRONG),
}
MIXED: Mapping[str, tuple[str, ...]] = {
    "R + cases of copypaste": ("copypaste",),
    "R + phantoms": (PHANTOMS,),
    "R + lesiondiffusion": ("lesiondiffusion",),
    "R + pig": ("pig",),
    "R + pig and copypaste": ("pig", "copypaste"),
    "R + segguided": ("segguided",),
    "R + segguided, unlabeled images": ("segguided-unlabeled",),
}
BEFORE: Mapping[str, str] = {"phantoms, then R": PHANTOMS}
"""Arms that learn from a source in the first half of the steps, and from the real cases alone in the second."""


def sources_of(arm: str) -> tuple[str, ...]:
    """What the synthetic cases of an arm are made by."""
    return (BEFORE[arm],) if arm in BEFORE else MIXED.get(arm, ())


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """One segmentation network.

    Attributes:
        subset: its real cases.
        arm: one of those of the data set.
        seed: of its initial weights and batches.
        config: of its training.
        edge: of its grid.
    """

    subset: Subset
    arm: str
    seed: int
    config: SegmenterConfig
    edge: int

    def dice(self, real: LoadedCohort, test: LoadedCohort) -> Float64[np.ndarray, " cases"]:
        """Mean Dice over the structures of every test case; read where the network is done."""
        kept = self._kept("dice", self.arm, "json")
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, {"dice": self._measured(real, test).mean(axis=1).tolist()})
        return np.array(read_json(kept)["dice"], np.float64)

    def _kept(self, folder: str, arm: str, ending: str) -> Path:
        stem = "-".join("".join(letter if letter.isalnum() else " " for letter in arm).split())
        return self.subset.folder / folder / f"{stem}_{self.seed}_{self.config.steps}_{self.edge}.{ending}"

    def _measured(self, real: LoadedCohort, test: LoadedCohort) -> Float64[np.ndarray, "cases structures"]:
        classes = len(self.subset.every.label_names)
        phases = self._phases(real, classes)
        network = self._teacher(phases[0], classes) if self.arm == BASE else self._network(self.arm, phases, classes)
        return dice_of_cases(network, test, classes)

    def _teacher(self, real: Phase, classes: int) -> nn.Module:
        """The network of R, trained once."""
        kept = self._kept("networks", BASE, "safetensors")
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(kept, pack(self._network(BASE, [real], classes).state_dict()))
        shape = (len(self.subset.size), len(self.subset.every.channel_names))
        network = build_segmenter(shape, classes, self.config, self.seed)
        network.load_state_dict(unpack(kept))
        return network.eval()

    def _phases(self, every: LoadedCohort, classes: int) -> list[Phase]:
        mine = torch.tensor([id in self.subset.ids for id in every.ids])
        real = (every.images[mine], every.labels[mine])
        if self.arm == SELF:
            return [Mixture(real, predicted(self._teacher(real, classes), every.images[~mine]))]
        if self.arm in AUGMENTED:
            return [real]
        if self.arm in BEFORE:
            before = self._synthetic(BEFORE[self.arm])
            return [(before.images, before.labels), real]
        made = [self._synthetic(source) for source in MIXED[self.arm]]
        images, labels = (torch.cat([getattr(each, part) for each in made]) for part in ("images", "labels"))
        return [Mixture(real, (images, labels))]

    def _synthetic(self, source: str) -> LoadedCohort:
        made = self.subset.synthetic(source)
        assert made is not None, "arms without synthetic cases are left out"
        return loaded(made, self.edge, self.subset.data.window)

    def _network(self, arm: str, phases: Sequence[Phase], classes: int) -> nn.Module:
        steps = self.config.steps * (2 if arm == LONGER else 1)
        config = self.config.model_copy(update={"steps": steps})
        with ConsoleProgress().task(f"{self.subset.name} seed {self.seed} {arm}", steps) as advance:
            return train_segmenter(phases, classes, config, self.seed, advance, AUGMENTED.get(arm, STRONG))


def predicted(network: nn.Module, images: Tensor) -> Cases:
    """Images with the labels that a network predicts."""
    shape = tuple(images.shape[2:])
    labels = [class_shares(network, image, shape).argmax(axis=0) for image in images]
    return images, torch.from_numpy(np.stack(labels).astype(np.int64))
