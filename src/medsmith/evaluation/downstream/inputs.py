"""The cohorts of the utility experiment, and what decides the results of its networks."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from medsmith.cases.cohort import Cohort
from medsmith.cases.cohort_like import CohortLike, as_cohort
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.downstream.options import UtilityOptions
from medsmith.evaluation.downstream.segmenter import SegmenterConfig
from medsmith.evaluation.kept_folder import names_line
from medsmith.evaluation.pages.earlier_report import cohort_line
from medsmith.evaluation.roles import check_roles
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.reports.lesion_label import LESION, SYNTHETIC
from medsmith.reports.organs import is_lesion

MADE = ("synthetic", "procedural")
"""Cohorts of the experiment whose cases are no patients."""
LARGEST_VOLUME_EDGE = 64
SETTINGS = "settings.json"
"""File of what decides the results of a folder."""
NAMES = "labels and channels"
"""Name of the setting that holds those of the cohorts."""
_LARGEST_EDGE = 1024
_SIZE_SAMPLE = 20
_LATER = {"cases", "subsets", "seeds", "shares", "gain", "size"}
"""Options that an experiment may change, since they change no network that is done; the edge is a setting itself."""


@final
@dataclass(frozen=True)
class Cohorts:
    """The cohorts of the experiment.

    Attributes:
        real: real training cases.
        synthetic: synthetic cases.
        test: test cases.
        more: further real training cases, if any.
        training: what the generator learned from, if it is none of these.
        procedural: procedural cases, if any, which learned from no image.
    """

    real: Cohort
    synthetic: Cohort
    test: Cohort
    more: Cohort | None
    training: Cohort | None
    procedural: Cohort | None = None

    @classmethod
    def of(
        cls,
        real: CohortLike,
        synthetic: CohortLike,
        test: CohortLike,
        more: CohortLike | None,
        training: CohortLike | None,
        procedural: CohortLike | None = None,
    ) -> "Cohorts":
        """Those of cohorts or their folders."""
        further = (None if each is None else as_cohort(each) for each in (more, training, procedural))
        return cls(as_cohort(real), as_cohort(synthetic), as_cohort(test), *further)

    @property
    def learned_from(self) -> dict[str, Cohort]:
        """What networks learn from, by the words of messages."""
        found = {"real": self.real, "synthetic": self.synthetic}
        found |= {"further real": self.more} if self.more else {}
        return found | ({"procedural": self.procedural} if self.procedural else {})

    @property
    def of_generator(self) -> list[Cohort]:
        """The real cohorts that the generator may have been trained on."""
        return [cohort for cohort in (self.real, self.more, self.training) if cohort is not None]

    @property
    def given_as_real(self) -> dict[str, Cohort]:
        """All that should hold real cases, by the words of messages."""
        return {name: cohort for name, cohort in self.named.items() if name not in MADE}

    @property
    def named(self) -> dict[str, Cohort]:
        """All that are there."""
        found = {**self.learned_from, "test": self.test}
        return found | ({"generator's": self.training} if self.training else {})


def check_compatible(cohorts: Cohorts) -> None:
    """Refuse cohorts that no network can learn from together.

    Raises:
        CohortError: swapped cohorts, no case, a case without image or labels, or other dimensions, labels or channels
            than the real cohort.
    """
    used = {**cohorts.learned_from, "test": cohorts.test}
    check_roles(cohorts.given_as_real, cohorts.synthetic)
    for cohort in used.values():
        if not len(cohort):
            raise CohortError(cohort.root, "no cases", "at least 1", "give a cohort that has some")
        check_complete(cohort)
        _check_dimensions(cohorts.real, cohort)
        for what in ("label_names", "channel_names"):
            known, found = getattr(cohorts.real, what), getattr(cohort, what)
            if known != found:
                cure = _one_name(cohorts.real) if SYNTHETIC in {*found} - {*known} else "make them alike"
                raise CohortError(cohort.root, f"{what} {found}", f"{cohorts.real.root} has {known}", cure)
    if cohorts.training:
        _check_dimensions(cohorts.real, cohorts.training)


def _check_dimensions(real: Cohort, other: Cohort) -> None:
    ours, theirs = (each.geometry(each.ids[0]).dimensions for each in (real, other))
    if ours != theirs:
        limit = f"{real.root} is {ours}-D, and all must be equal"
        raise CohortError(other.root, f"is {theirs}-D", limit, "give slices with slices")


def check_complete(cohort: Cohort) -> None:
    """Refuse a cohort in which a case lacks its image or its labels.

    Raises:
        CohortError: one does.
    """
    for what, having in (("image", cohort.ids_with_image), ("labels", cohort.ids_with_labels)):
        if len(having) < len(cohort):
            found = f"{len(cohort) - len(having)} of {len(cohort)} cases have no {what}"
            raise CohortError(cohort.root, found, "a segmentation network needs both", "leave these cases out")


def _one_name(real: Cohort) -> str:
    """The cure for lesions that have a label of their own beside those of real ones."""
    name = next(filter(is_lesion, real.label_names), LESION)
    return f"make it again so that all lesions have one label: synthesize --label-as {name}"


def grid_edge(cohorts: Cohorts, size: int | None, multiple: int) -> int:
    """Edge of the grid of the networks: as asked, or the smaller median edge of R and S (volumes: at most 64).

    Args:
        cohorts: of the experiment.
        size: asked for.
        multiple: of which it must be.

    Raises:
        RequestError: it is not, or too small or large.
    """
    if size is not None:
        if not 2 * multiple <= size <= _LARGEST_EDGE or size % multiple:
            limit = f"a multiple of {multiple}, {2 * multiple} to {_LARGEST_EDGE}"
            raise RequestError("size", f"{size}", limit, "choose one")
        return size
    edge: int = min(_median_edge(cohorts.real), _median_edge(cohorts.synthetic))
    if cohorts.real[cohorts.real.ids[0]].geometry.dimensions == 3:
        edge = min(edge, LARGEST_VOLUME_EDGE)
    return int(max(2 * multiple, edge // multiple * multiple))


def _median_edge(cohort: Cohort) -> int:
    """Median longest edge of the first cases, in voxels."""
    edges = [max(cohort[case_id].geometry.shape) for case_id in cohort.ids[:_SIZE_SAMPLE]]
    return int(np.median(edges))


def settings_of(cohorts: Cohorts, edge: int, config: SegmenterConfig, options: UtilityOptions) -> dict[str, str]:
    """What decides the bytes of a network's result."""
    lines = {f"{name} cohort": cohort_line(cohort) for name, cohort in cohorts.named.items()}
    kept = options.model_dump(exclude=set(_LATER))
    return lines | {
        NAMES: names_line(cohorts.real),
        "grid edge": str(edge),
        "training": json.dumps(config.model_dump(), sort_keys=True),
        "options": json.dumps(kept, sort_keys=True),
    }


def check_settings(out: Path, settings: Mapping[str, str]) -> None:
    """Save the settings of the folder's results, or refuse a folder with other settings.

    Raises:
        RunError: it has other ones.
    """
    refuse_other_settings(out, lambda: settings)
    write_json(out / SETTINGS, settings)


def refuse_other_settings(out: Path, asked: Callable[[], Mapping[str, str]]) -> None:
    """Refuse a folder with results of other settings.

    Args:
        out: the folder.
        asked: gives the settings; called only where the folder has some.

    Raises:
        RunError: it has other ones.
    """
    path = out / SETTINGS
    if path.exists():
        stored, settings = read_json(path), asked()
        changed = sorted(name for name in {*settings, *stored} if stored.get(name) != settings.get(name))
        if changed:
            found = f"holds results of other settings ({', '.join(changed)})"
            raise RunError(out, found, "one folder, one experiment", "choose another folder or delete this one")
