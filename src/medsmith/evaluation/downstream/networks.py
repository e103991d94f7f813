"""The networks of the utility experiment: each is trained and measured once, and its result kept as a file."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from medsmith.diffusion.noise import derive_seed
from medsmith.errors import RunError, counted
from medsmith.evaluation.downstream.arms import LONGER, Arm
from medsmith.evaluation.downstream.augmentation import Augment, mirroring
from medsmith.evaluation.downstream.copy_paste import CopyPaste
from medsmith.evaluation.downstream.forecast import TimedAdvance, networks_line
from medsmith.evaluation.downstream.lesions import size_limits
from medsmith.evaluation.downstream.loaded_cohort import LoadedCohort
from medsmith.evaluation.downstream.measures import is_measured, measured_case
from medsmith.evaluation.downstream.options import UtilityOptions, strong_augmentation
from medsmith.evaluation.downstream.segmenter import (
    Cases,
    Mixture,
    Phase,
    SegmenterConfig,
    predicted_labels,
    train_segmenter,
)
from medsmith.evaluation.downstream.separation import only_cases
from medsmith.evaluation.downstream.subsets import ALL
from medsmith.evaluation.kept_parts import keep_part, kept_part
from medsmith.formats.json_file import read_json
from medsmith.machine import usual_device
from medsmith.progress import Progress

FOLDER = "networks"
CaseScores = Mapping[str, Mapping[str, Any]]


@final
@dataclass(frozen=True, eq=False)
class Material:
    """What networks learn from and are tested on.

    Attributes:
        real: real cases, of which subsets are drawn.
        synthetic: synthetic cases.
        more: further real cases.
        test: test cases.
        channel_names: of the images.
        structures: names of the classes above background.
        procedural: procedural cases.
    """

    real: LoadedCohort
    synthetic: LoadedCohort
    more: LoadedCohort | None
    test: LoadedCohort
    channel_names: tuple[str, ...]
    structures: tuple[str, ...]
    procedural: LoadedCohort | None = None

    @property
    def mm(self) -> bool:
        """Whether distances are in mm; else in pixels."""
        return self.test.spacing_known

    def augmentation(self, arm: Arm, mirror: float) -> Augment:
        """How the cases of an arm are changed."""
        strong: Augment = strong_augmentation(self.channel_names, mirror)
        if arm.augmentation == "mirrored":
            return mirroring(mirror)
        return strong if arm.augmentation == "strong" else CopyPaste().before(strong)


@final
@dataclass(frozen=True)
class Job:
    """One network.

    Attributes:
        size: asked for, of its real subset; 0 are all cases.
        subset: number of the subset.
        ids: of its real cases.
        arm: what it learns from.
        seed: number of the network.
    """

    size: int
    subset: int
    ids: tuple[str, ...]
    arm: Arm
    seed: int

    def path(self, out: Path) -> Path:
        """The file of its result."""
        subset = f"{'all' if self.size == ALL else self.size}-{self.subset}"
        return out / FOLDER / subset / f"{self.arm.stem}-{self.seed}.json"

    @property
    def network_seed(self) -> int:
        """Of weights, batches and augmentation: the same for all arms of one subset, another in each subset."""
        return derive_seed("utility", self.size, self.subset, self.seed) % 2**63

    def steps(self, config: SegmenterConfig) -> int:
        """Its gradient steps."""
        return config.steps * (2 if self.arm.longer else 1)


def jobs_of(size: int, subsets: Sequence[tuple[str, ...]], arms: Sequence[Arm], seeds: int) -> list[Job]:
    """All networks of a size; R is trained for twice the steps once in each subset, with the first seed."""
    jobs = [
        Job(size, number, ids, arm, seed) for seed in range(seeds) for number, ids in enumerate(subsets) for arm in arms
    ]
    return jobs + [Job(size, number, ids, LONGER, 0) for number, ids in enumerate(subsets)]


def train_missing(
    out: Path,
    jobs: Sequence[Job],
    material: Material,
    options: UtilityOptions,
    config: SegmenterConfig,
    progress: Progress,
    report: Callable[[str], None],
) -> None:
    """Train the networks that have no result yet, or a damaged one, and write the measures of each.

    ``report`` receives what will be trained, and after the first steps how long it takes.
    """
    remaining = [job for job in jobs if kept_part(job.path(out)) is None]
    total, left = (sum(job.steps(config) for job in some) for some in (jobs, remaining))
    mirror = options.mirror_of(material.structures)
    if remaining:
        report(networks_line(len(remaining), left, config))
    with progress.task("train networks", total, total - left) as shown:
        advance = TimedAdvance(shown, left, report)
        for job in remaining:
            network = train_segmenter(
                _phases(job, material, options.weight),
                len(material.structures) + 1,
                config.model_copy(update={"steps": job.steps(config)}),
                job.network_seed,
                advance,
                material.augmentation(job.arm, mirror),
            )
            measured = _measured(network, material, options.tolerance)
            keep_part(job.path(out), {"device": _trained_on(), "cases": measured})


def _trained_on() -> str:
    """Where networks are trained; the weights of those on a CPU depend on its number of threads."""
    device = usual_device()
    return f"{device}, {counted(torch.get_num_threads(), 'thread')}" if device == "cpu" else device


def devices_line(out: Path, jobs: Iterable[Job]) -> str:
    """Where networks were trained: ``cuda``, or ``cpu, 1 thread (2 networks), cuda (12 networks)``."""
    counts = Counter(str(read_json(job.path(out)).get("device", "unknown")) for job in jobs)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{device} ({counted(count, 'network')})" for device, count in sorted(counts.items()))


def read_scores(out: Path, job: Job, ids: Sequence[str], structures: int) -> CaseScores:
    """Test case -> measures of a network.

    Raises:
        RunError: the file does not hold the measures of every test case and structure.
    """
    path = job.path(out)
    found = read_json(path).get("cases")
    if (
        not isinstance(found, dict)
        or {*found} != {*ids}
        or not all(is_measured(each, structures) for each in found.values())
    ):
        raise RunError(path, "does not hold the measures of every test case", cure="delete it and run again")
    return found


def _measured(network: torch.nn.Module, material: Material, tolerance: float) -> dict[str, Any]:
    test, classes = material.test, len(material.structures) + 1
    rows = zip(test.ids, predicted_labels(network, test), test.truth, test.spacings, strict=True)
    return {
        case_id: measured_case(predicted, truth, classes, (spacing, tolerance), size_limits(truth.shape, material.mm))
        for case_id, predicted, truth, spacing in rows
    }


def _phases(job: Job, material: Material, weight: float) -> list[Phase]:
    real = _cases(only_cases(material.real, job.ids))
    if job.arm.more and material.more is not None:
        further = _cases(material.more)
        real = (torch.cat([real[0], further[0]]), torch.cat([real[1], further[1]]))
    loaded = material.procedural if job.arm.made == "procedural" else material.synthetic
    assert loaded is not None, "arms of cases that are not given are not planned"
    made = _cases(loaded)
    alone: dict[float, Phase] = {0.0: real, 1.0: made}
    return [alone.get(share) or Mixture(real, made, share, weight) for share in job.arm.shares]


def _cases(loaded: LoadedCohort) -> Cases:
    return loaded.images, loaded.labels
