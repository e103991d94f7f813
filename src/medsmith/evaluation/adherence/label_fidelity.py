"""Label fidelity: whether an independent segmenter finds in an image what its label map says."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import nn

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cases.label_names import foreground_names
from medsmith.data.resizing import resize_labels
from medsmith.diffusion import derive_seed
from medsmith.errors import CohortError, RequestError, counted
from medsmith.evaluation.adherence.label_cases import make_cases
from medsmith.evaluation.adherence.pairs import LEAST_PAIRS, PICTURED, Maker
from medsmith.evaluation.adherence.pictures import outlined_beside
from medsmith.evaluation.adherence.result import LabelFidelity
from medsmith.evaluation.adherence.statistics import AttributeResult, corrected
from medsmith.evaluation.downstream.architectures import grid_multiple
from medsmith.evaluation.downstream.inputs import Cohorts, check_compatible, grid_edge
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort, load_cohort
from medsmith.evaluation.downstream.options import UtilityOptions, strong_augmentation
from medsmith.evaluation.downstream.segmenter import (
    SegmenterConfig,
    build_segmenter,
    dice_of_cases,
    predicted_labels,
    train_segmenter,
)
from medsmith.evaluation.downstream.separation import ImageKeys, check_hashes
from medsmith.evaluation.fidelity.bootstrap import mean_of_few
from medsmith.evaluation.kept_parts import keep_part, kept_part, warn_damaged
from medsmith.evaluation.pages.earlier_report import cohort_line
from medsmith.formats.atomic import sha256_of, write_bytes
from medsmith.progress import Progress
from medsmith.runs.checkpoints import load_strict, pack, read_tensors

NETWORKS = 2
_WEIGHTS = "weights_sha256"


@final
@dataclass(frozen=True)
class RealCases:
    """What the segmenters learn from and are compared on.

    Attributes:
        training: labeled real cases.
        test: others, of other patients.
        config: of the segmenters.
        size: edge of their grid, as in ``utility``.
    """

    training: Cohort
    test: Cohort
    config: SegmenterConfig
    size: int | None = None

    def check(self, maker: Maker) -> None:
        """Refuse cohorts that do not fit each other or the method.

        Raises:
            CohortError: no case, a case without image or labels, other labels or channels, or no label in common.
        """
        check_compatible(Cohorts(self.training, self.test, self.test, None, None))
        facts = maker.method.fingerprint
        if self.training.channel_names != facts.channel_names:
            found = f"channels {', '.join(self.training.channel_names)}"
            limit = f"the method makes {', '.join(facts.channel_names)}"
            raise CohortError(self.training.root, found, limit, "give cases of these channels")

    @property
    def cohorts(self) -> tuple[Cohort, Cohort]:
        """Both, in this order."""
        return self.training, self.test

    def facts(self) -> Mapping[str, str]:
        """What decides the networks."""
        cohorts = {"segmenter's training cohort": self.training, "test cohort": self.test}
        lines = {name: cohort_line(each) for name, each in cohorts.items()}
        return {**lines, "segmenter": json.dumps(self.config.model_dump(), sort_keys=True)}


def measure_labels(maker: Maker, real: RealCases, count: int, progress: Progress) -> LabelFidelity:
    """The label fidelity of cases that are made and kept in the folder.

    Args:
        maker: makes the cases.
        real: of the segmenters.
        count: cases that are made.
        progress: display of the progress.

    Raises:
        RequestError: too few cases could be made, or none has a label that the real cases have.
        CohortError: a test image is also among the training cases.
    """
    made, notes = make_cases(maker, real.training.label_names, count, progress)
    return label_fidelity(made, real, maker.folder, progress, seed=maker.seed, notes=notes)


def label_fidelity(
    made: Cohort, real: RealCases, folder: Path, progress: Progress, *, seed: int = 0, notes: tuple[str, ...] = ()
) -> LabelFidelity:
    """Networks trained on real cases alone, and their Dice on cases of any source and on real ones.

    Args:
        made: cases with image and labels.
        real: of the segmenters, with the same labels and channels.
        folder: keeps the networks, which the same call reads again.
        progress: display of the progress.
        seed: of the networks and of the exchanges.
        notes: on how the cases were made.

    Raises:
        RequestError: no label is in 10 of the cases, a training case and a test case.
        CohortError: a test image is also among the training cases.
    """
    given = Cohorts(real.training, made, real.test, None, None)
    edge = grid_edge(given, real.size, grid_multiple(real.config.architecture))
    cohorts = {"training": real.training, "made": made, "test": real.test}
    with progress.task("read cases", sum(map(len, cohorts.values()))) as advance:
        loaded = {name: load_cohort(cohort, edge, advance) for name, cohort in cohorts.items()}
    check_hashes(ImageKeys.of(loaded["test"]), {"segmenter's training": ImageKeys.of(loaded["training"])})
    names = foreground_names(real.training.label_names)
    counts = {name: _having(each, len(names)).sum(axis=0) for name, each in loaded.items()}
    _check_labels(cohorts, counts)
    networks = _networks(folder, loaded["training"], real, seed, progress)
    own = _dice(networks, loaded["made"], len(names))
    others = _dice(networks, replace(loaded["made"], truth=tuple(_other_maps(loaded["made"].truth))), len(names))
    tested = _dice(networks, loaded["test"], len(names))
    structures: dict[str, AttributeResult] = {}
    for index, name in enumerate(names):
        values = np.stack([others[:, index], own[:, index]], axis=1)
        values = values[~np.isnan(values).any(axis=1)]
        if len(values) >= LEAST_PAIRS and counts["training"][index] and counts["test"][index]:
            structures[name] = AttributeResult.of(values, seed)
        else:
            notes = (*notes, f"Label '{name}' was left out: too few cases have it.")
    if not structures:
        found = f"no label is in both maps of {LEAST_PAIRS} pairs of neighboring cases"
        raise RequestError(made.root, found, "their maps must differ", "make more cases, of other maps")
    return LabelFidelity(
        dict(zip(structures, corrected([*structures.values()]), strict=True)),
        {name: mean_of_few(tested[:, names.index(name)], "test cases", (0.0, 1.0)) for name in structures},
        len(made),
        tuple(_pictures(networks[0], made, loaded["made"])),
        notes,
    )


def _check_labels(cohorts: Mapping[str, Cohort], counts: Mapping[str, Int64[np.ndarray, " labels"]]) -> None:
    """Refuses cohorts without a label that segmenters can learn, find in enough cases, and be compared on.

    Args:
        cohorts: "training", "made" and "test" -> the cohort.
        counts: of each, the cases that have each label.
    """
    made, common = cohorts["made"], counts["made"] >= LEAST_PAIRS
    if not common.any():
        found = f"no label is in {LEAST_PAIRS} of the {counted(len(made), 'synthetic case')}"
        raise RequestError(made.root, found, f"at least {LEAST_PAIRS} cases with one", "make more")
    others = f"{LEAST_PAIRS} synthetic cases"
    for what in ("training", "test"):
        common = common & (counts[what] > 0)
        if not common.any():
            found = f"no {what} case has a label that {others} have"
            limit = "at least 1 to learn from and 1 to test on"
            raise RequestError(cohorts[what].root, found, limit, "give labeled cases")
        others += f" and a {what} case"


def _networks(folder: Path, cases: LoadedCohort, real: RealCases, seed: int, progress: Progress) -> list[nn.Module]:
    """The segmenters; those that are there already are read."""
    classes, config = len(real.training.label_names), real.config
    mirror = UtilityOptions().mirror_of(real.training.label_names)
    augment = strong_augmentation(real.training.channel_names, mirror)
    networks: list[nn.Module] = []
    with progress.task("train segmenters", NETWORKS * config.steps) as advance:
        for number in range(NETWORKS):
            path = folder / f"segmenter-{cases.images.shape[-1]}-{number}.safetensors"
            own = derive_seed("adherence", seed, "segmenter", number) % 2**63
            if _is_kept(path):
                network = build_segmenter((cases.images.ndim - 2, cases.images.shape[1]), classes, config)
                load_strict(network, read_tensors(path), path)
                network.eval()
                advance(config.steps, "kept")
            else:
                network = train_segmenter([(cases.images, cases.labels)], classes, config, own, advance, augment)
                write_bytes(path, pack(network.state_dict()))
                keep_part(_digest_of(path), {_WEIGHTS: sha256_of(path)})
            networks.append(network)
    return networks


def _is_kept(path: Path) -> bool:
    """Whether a file holds the weights that were written there; those that were damaged are learned anew."""
    if not path.exists():
        return False
    known = kept_part(_digest_of(path))
    kept = known is not None and known.get(_WEIGHTS) == sha256_of(path)
    if not kept:
        warn_damaged(path)
    return kept


def _digest_of(weights: Path) -> Path:
    return weights.with_suffix(".json")


def _dice(networks: Sequence[nn.Module], cases: LoadedCohort, labels: int) -> Float64[np.ndarray, "n labels"]:
    """Mean over the networks; NaN where the map has no such label."""
    found = np.mean([dice_of_cases(network, cases, labels + 1) for network in networks], axis=0)
    return np.where(_having(cases, labels), found, np.nan)


def _having(cases: LoadedCohort, labels: int) -> Bool[np.ndarray, "n labels"]:
    """Whether the map of each case has each label."""
    return np.array([[(truth == value + 1).any() for value in range(labels)] for truth in cases.truth], bool)


def _other_maps(maps: Sequence[UInt8[np.ndarray, "..."]]) -> Iterator[UInt8[np.ndarray, "..."]]:
    """For each map the next one that differs from it, on its grid; an empty one where all are alike."""
    for index, own in enumerate(maps):
        later = (maps[(index + step) % len(maps)] for step in range(1, len(maps)))
        resized = (_on_grid_of(other, own) for other in later)
        yield next((other for other in resized if not np.array_equal(other, own)), np.zeros_like(own))


def _on_grid_of(labels: UInt8[np.ndarray, "..."], like: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    if labels.shape == like.shape:
        return labels
    x, y, z = (*like.shape, 1)[:3]
    volume = labels if labels.ndim == 3 else labels[..., None]
    return resize_labels(volume, (x, y, z)).reshape(like.shape)


def _pictures(network: nn.Module, made: Cohort, loaded: LoadedCohort) -> Iterator[bytes]:
    for id, predicted in zip(loaded.ids[:PICTURED], predicted_labels(network, loaded), strict=False):
        case: Case = made[id]
        values = np.array(sorted(case.label_names.values()), np.uint8)
        yield outlined_beside(case, values[predicted].reshape(case.geometry.shape), (id, "found"))
