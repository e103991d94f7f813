"""Whether planted copies are found and new cases are not: the copy detector on phantoms and on real images.

Cases are divided by scene into training cases and held-out ones, and the held-out ones into two halves. The first sets
the threshold, as in `medsmith privacy`. False alarms are counted in both, each by the threshold of the other.
Near-duplicates between a half and the training cases, which are real copies, are left out and counted. Some training
cases are planted, changed in each of the ways of `KINDS`, and the whole image or its lesion region is searched, the
latter where enough cases have a lesion that is large enough. The processor time is that of the search alone.

Writes detection-NAME.json beside this file. Run, for phantoms or for any cohort:
python benchmarks/privacy/detection.py ct
python benchmarks/privacy/detection.py COHORT
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.copies import Searchable, find_matches, joined
from medsmith.data.similarity import find_scenes
from medsmith.evaluation.fidelity.bootstrap import proportion
from medsmith.evaluation.privacy.nearest_neighbors import similarities_of
from medsmith.evaluation.privacy.regions import lesion_region, view_of
from medsmith.evaluation.privacy.threshold import IMAGES, Threshold
from medsmith.geometry import Geometry
from medsmith.machine import facts
from medsmith.phantoms.families import FAMILIES, find_family
from medsmith.phantoms.family import case_id, case_seed
from medsmith.reports.organs import is_lesion

HERE = Path(__file__).parent
PLANTED, MOST = 20, 300
"""Copies of each kind, and cases of a cohort, evenly chosen."""
PHANTOMS = {2: (128, 120), 3: (48, 200)}
"""Edge and number of phantoms, in 2-D and 3-D."""
Change = Callable[[np.ndarray], np.ndarray]


def on_space(change: Change) -> Callable[[Case], Case]:
    """A change of the voxels of image and labels."""

    def changed(case: Case) -> Case:
        image, labels = change(case.require_image()), change(case.require_labels()[None])[0]
        shape = tuple(image.shape[1:])
        return replace(
            case,
            image=np.ascontiguousarray(image, np.float32),
            labels=np.ascontiguousarray(labels, np.uint8),
            geometry=Geometry.plain(shape) if shape[2] == 1 else Geometry(shape, np.eye(4)),
        )

    return changed


def on_gray(change: Change) -> Callable[[Case], Case]:
    """A change of the gray values, which run from 0 to 1."""

    def changed(case: Case) -> Case:
        image = case.require_image()
        low, wide = float(image.min()), float(np.ptp(image))
        return replace(case, image=np.ascontiguousarray(change((image - low) / wide) * wide + low, np.float32))

    return changed


def shifted(share: float) -> Change:
    """Shifted along x and y by a share of the edges; the edge values fill what is missing."""

    def change(image: np.ndarray) -> np.ndarray:
        x, y = (round(share * edge) for edge in image.shape[1:3])
        padded = np.pad(image, [(0, 0), (x, 0), (0, y), (0, 0)], "edge")
        return padded[:, : image.shape[1], y:]

    return change


def cropped(share: float) -> Change:
    """Without a margin: a share of the edges altogether."""

    def change(image: np.ndarray) -> np.ndarray:
        margins = [0, *(round(share * edge / 2) if edge > 1 else 0 for edge in image.shape[1:])]
        return image[tuple(slice(m, edge - m) for m, edge in zip(margins, image.shape, strict=True))]

    return change


def widened(share: float) -> Change:
    """With a margin of the edge values, which makes the rest smaller."""

    def change(image: np.ndarray) -> np.ndarray:
        margins = [0, *(round(share * edge / 2) if edge > 1 else 0 for edge in image.shape[1:])]
        return np.pad(image, [(m, m) for m in margins], "edge")

    return change


def noisy(image: np.ndarray) -> np.ndarray:
    """With white noise of 5 % of the gray range."""
    return image + np.random.default_rng(0).normal(0, 0.05, image.shape)


KINDS: dict[str, Callable[[Case], Case]] = {
    "exact": lambda case: case,
    "white noise, 5 % of the range": on_gray(noisy),
    "shifted by 5 %": on_space(shifted(0.05)),
    "shifted by 10 %": on_space(shifted(0.10)),
    "flipped": on_space(lambda image: image[:, ::-1]),
    "gray values scaled": on_gray(lambda image: 0.4 * image + 0.3),
    "gamma 0.5": on_gray(lambda image: np.clip(image, 0, 1) ** 0.5),
    "gamma 2": on_gray(lambda image: np.clip(image, 0, 1) ** 2),
    "contrast inverted": on_gray(lambda image: 1 - image),
    "cropped by 5 %": on_space(cropped(0.05)),
    "cropped by 10 %": on_space(cropped(0.10)),
    "cropped by 15 %": on_space(cropped(0.15)),
    "smaller by 10 %": on_space(widened(0.10)),
}


def cases_of(name: str) -> list[Case]:
    """The cases of a family of phantoms or of a cohort."""
    if name not in FAMILIES:
        cohort = Cohort.open(name)
        chosen = np.linspace(0, len(cohort) - 1, min(MOST, len(cohort))).round().astype(int)
        return [cohort[cohort.ids[index]] for index in chosen]
    family = find_family(name)
    edge, count = PHANTOMS[2 if family.file_ending == ".png" else 3]
    return [family.make(case_seed(name, 0, index), case_id(name, index), edge) for index in range(count)]


def whole(case: Case) -> Searchable:
    """The whole image."""
    return Searchable.of([view_of(case).image[None]])


def lesion(case: Case) -> Searchable:
    """The region of the largest lesion; none if it is too small."""
    labels = {name: value for name, value in case.label_names.items() if value}
    named = {value for name, value in labels.items() if is_lesion(name)}
    region = lesion_region(case, named or set(labels.values()))
    return Searchable.of([] if region is None else [region[None]])


def without_duplicates(similarities: np.ndarray, threshold: Threshold) -> np.ndarray:
    """Those of cases that are no near-duplicates of training cases, unless all look alike."""
    alike = threshold.near_duplicates is None or threshold.near_duplicates.value >= 0.5
    return similarities if alike else similarities[similarities < IMAGES.near_duplicate]


def measure(cases: Sequence[Case], scenes: np.ndarray, prepare: Callable[[Case], Searchable]) -> dict[str, Any]:
    """Threshold, false alarms and the planted copies that are found, of one kind of region."""
    order = np.random.default_rng(0).permutation(np.unique(scenes))
    places = {int(scene): place for place, scene in enumerate(order)}
    half = [places[int(scene)] * 2 < len(order) for scene in scenes]
    parts = [(case, prepare(case), first) for case, first in zip(cases, half, strict=True)]
    training = [case for case, part, first in parts if first and len(part)]
    gallery = joined([part for _, part, first in parts if first])
    unseen = joined([part for _, part, first in parts if not first])
    begin = time.process_time()
    reference = similarities_of(find_matches(unseen, gallery).matches)
    seconds = (time.process_time() - begin) / len(unseen)
    halves = reference[::2], reference[1::2]
    threshold, other = (Threshold.of(each, IMAGES, 0) for each in halves)
    limit = threshold.limit.value
    unlike = without_duplicates(halves[1], threshold), without_duplicates(halves[0], other)
    alarms = sum(int((each > t.limit.value).sum()) for each, t in zip(unlike, (threshold, other), strict=True))
    found: dict[str, Any] = {
        "training": len(gallery),
        "held_out": len(unseen),
        "threshold": threshold.as_json(),
        "false_alarms": proportion(alarms, sum(map(len, unlike))).as_json(),
        "seconds_per_query": seconds,
        "planted": {},
    }
    for kind, change in KINDS.items():
        copies = [prepare(change(case)) for case in training[:PLANTED]]
        matches = find_matches(joined(copies), gallery).matches
        above = similarities_of(matches) > limit
        right = sum(match.index == row for row, match in enumerate(matches))
        found["planted"][kind] = {
            "found": proportion(int(above.sum()), len(above)).as_json(),
            "least_similarity": float(similarities_of(matches).min()),
            "nearest_is_the_original": right,
        }
        print(kind, json.dumps(found["planted"][kind]), flush=True)
    return found


def main() -> None:
    """Measure one cohort or family and write the result."""
    name = sys.argv[1]
    cases = [case for case in cases_of(name) if case.image is not None and case.labels is not None]
    scenes = find_scenes(joined([whole(case) for case in cases]).coarse).groups
    result: dict[str, Any] = {"machine": facts(), "cases": len(cases)}
    for region in (whole, lesion):
        if sum(bool(len(region(case))) for case in cases) < 4 * PLANTED:
            print(f"{region.__name__}: too few cases have one")
            continue
        result[region.__name__] = measure(cases, scenes, region)
        (HERE / f"detection-{Path(name).name}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
