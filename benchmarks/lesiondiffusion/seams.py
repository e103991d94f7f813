"""Can a classifier tell the border of an inserted lesion from that of a phantom's own? And is there a seam around it?

    python benchmarks/lesiondiffusion/seams.py RUN HEALTHY LESIONS [COUNT]

    medsmith phantom ct-healthy HEALTHY --count 12 --size 96 --seed 31
    medsmith phantom ct LESIONS --count 124 --size 96 --seed 202

The lesions of cases of LESIONS are put by their words into scans of HEALTHY, and their borders compared with those of
the lesions whose words they are. RUN may be "lesiondiffusion", the shipped weights. One draw per lesion; what finds no
place is passed over. Rows of voxels run along the axes of the scan across the border of a lesion, three on either side:

- surroundings: the three outside alone, the healthy tissue beside the lesion;
- border: all six.

A logistic regression of steps, spread and roughness along and across bundles of rows learns from half of the couples;
of the others the mean of its scores over a lesion is the lesion's. A couple is an inserted lesion and the one whose
words it was asked by. Floor: couples of two own lesions, drawn 20 times; mean and range of the drawings. Control, which
must be found: couples of two own lesions, with the tissue within 4 mm of one of them smoothed by a Gaussian of 1 voxel.
Findings go to seams.json beside this file; about five minutes on one thread.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import distance_transform_edt, gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medsmith import Case, Cohort, load_method
from medsmith.cases.canonical import canonical_case
from medsmith.cases.case_ref import CaseRef
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError
from medsmith.evaluation.fidelity.seams import MARGIN_MM, PaintedCase, boxes_of, grown, measure_seams, teaching
from medsmith.evaluation.reader_study.auc import paired_auc
from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress
from medsmith.reports.organs import is_lesion
from medsmith.reports.schema import LesionReport

HERE = Path(__file__).parent
COUNT = 110
SIDE, BUNDLE, ROWS, DRAWINGS = 3, 3, 60, 20
SMOOTHED_MM, FEWEST = 4.0, 8
LAYERS: Mapping[str, slice] = {"surroundings": slice(0, SIDE), "border": slice(0, 2 * SIDE)}
Rows = Float64[np.ndarray, "rows depth u v"]


@final
@dataclass(frozen=True, eq=False)
class Lesion:
    """A scan with a lesion, along the axes of the patient.

    Attributes:
        image: HU.
        mask: of the lesion.
        spacing: edges of a voxel, mm.
    """

    image: Float32[np.ndarray, "x y z"]
    mask: Bool[np.ndarray, "x y z"]
    spacing: Sequence[float]


def main(run: str, healthy: Path, lesions: Path, count: int) -> None:
    """Insert the lesions, compare their borders, and keep the figures."""
    torch.set_num_threads(1)
    method, scans, own = load_method(run), Cohort.open(healthy), Cohort.open(lesions)
    asked = [id for id in own.ids if len(lesions_of(own[id])) == 1]
    triples = list(inserted(method, scans, map(own.__getitem__, asked[:count]), count))
    own_lesions = [lesion_of(own[id]) for id in asked]
    real = [rows_of(each) for each in own_lesions]
    first, second = ([rows_of(lesion_of(triple[part])) for triple in triples] for part in (0, 2))
    blurred = [rows_of(smoothed(each)) for each in own_lesions[::2]]
    rows = {
        "inserted against own": {zone: told(first, second, layers) for zone, layers in LAYERS.items()},
        "floor: own against own": {zone: floor(real, layers) for zone, layers in LAYERS.items()},
        "control: smoothed against own": {zone: told(blurred, real[1::2], layers) for zone, layers in LAYERS.items()},
    }
    found = {
        "classifier": rows,
        "painted": painted([each[:2] for each in triples]),
        "facts": {**facts(), "weights": method.weights_hash},
    }
    write_json(HERE / "seams.json", found)
    print(found)


def lesions_of(case: Case) -> list[Any]:
    """What the report says of each lesion."""
    lesions: list[Any] = (case.report or {}).get("lesions", [])
    return lesions


def inserted(method: Any, scans: Cohort, asked: Iterable[Case], count: int) -> Iterator[tuple[Case, Case, Case]]:
    """Scans with lesions that are asked for by the words of others, the scans before, and the cases of these words."""
    with ConsoleProgress().task("insert lesions", count) as advance:
        for number, case in enumerate(asked):
            words = LesionReport(**{**lesions_of(case)[0], "measured": {}})
            id = scans.ids[number % len(scans)]
            request = method.Request(templates=CaseRef(cohort=scans.root, case=id), lesions=(words,), attempts=1)
            try:
                made = method.synthesize(request, derive_seed("seams", number), method.config.sampling)
            except RequestError:
                advance(1, "no place")
                continue
            advance(1, id)
            if "measured" in made.provenance["lesions"][0]:
                yield made, scans[id], case


def lesion_of(case: Case) -> Lesion:
    """The lesion of a case."""
    case = canonical_case(case)
    values = [value for name, value in case.label_names.items() if is_lesion(name)]
    return Lesion(case.require_image()[0], np.isin(case.require_labels(), values), case.geometry.spacing)


def smoothed(lesion: Lesion) -> Lesion:
    """The same lesion in surroundings that were smoothed."""
    near = (distance_transform_edt(~lesion.mask, sampling=lesion.spacing) <= SMOOTHED_MM) & ~lesion.mask
    return Lesion(np.where(near, gaussian_filter(lesion.image, 1.0), lesion.image), lesion.mask, lesion.spacing)


def rows_of(lesion: Lesion) -> Rows:
    """Bundles of rows of voxels across the border, from outside to inside, drawn at random.

    A bundle counts where all of its rows cross the border at one depth, so that no voxel outside is of the lesion.
    """
    found = []
    for axis in range(3):
        image, mask = (np.moveaxis(each, axis, 0) for each in (lesion.image, lesion.mask))
        for sign in (1, -1):
            found += list(bundles(image[::sign], mask[::sign]))
    picked = np.random.default_rng(0).permutation(len(found))[:ROWS]
    return np.array([found[index] for index in picked], np.float64).reshape(-1, 2 * SIDE, BUNDLE, BUNDLE)


def bundles(
    image: Float32[np.ndarray, "a u v"], mask: Bool[np.ndarray, "a u v"]
) -> Iterator[Float32[np.ndarray, "..."]]:
    """Those that enter the lesion in the direction of the first axis."""
    half = BUNDLE // 2
    for a, u, v in np.argwhere(mask[1:] & ~mask[:-1]):
        cut = (slice(a + 1 - SIDE, a + 1 + SIDE), slice(u - half, u + half + 1), slice(v - half, v + half + 1))
        if min(a + 1 - SIDE, u - half, v - half) < 0 or mask[cut].shape != (2 * SIDE, BUNDLE, BUNDLE):
            continue
        if not mask[cut][:SIDE].any() and mask[cut][SIDE:].all():
            yield image[cut]


def told(first: Sequence[Rows], second: Sequence[Rows], layers: slice) -> Mapping[str, Any]:
    """AUC of the first of couples against the second, scored by what learned from half of the couples."""
    couples = [
        tuple(np.array([description(bundle) for bundle in each[:, layers]]) for each in couple)
        for couple in zip(first, second, strict=False)
        if min(map(len, couple)) >= FEWEST
    ]
    teaches = teaching([str(number) for number in range(len(couples))], np.random.default_rng(0))
    learned = [each for couple, known in zip(couples, teaches, strict=True) if known for each in couple]
    truth = [np.full(len(each), (number + 1) % 2) for number, each in enumerate(learned)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(np.concatenate(learned), np.concatenate(truth))
    scores = np.array(
        [
            [model.decision_function(each).mean() for each in couple]
            for couple, known in zip(couples, teaches, strict=True)
            if not known
        ]
    )
    return {**paired_auc(scores[:, 1], scores[:, 0]).as_json(), "couples": [len(learned) // 2, len(scores)]}


def floor(own: Sequence[Rows], layers: slice) -> Mapping[str, Any]:
    """AUC of couples of lesions of one kind that are drawn at random: mean, smallest and largest of the drawings."""
    found = []
    for number in range(DRAWINGS):
        order = np.random.default_rng(number).permutation(len(own))
        found.append(told([own[index] for index in order[::2]], [own[index] for index in order[1::2]], layers))
    values = [each["value"] for each in found]
    ends = {"low": min(values), "high": max(values), "interval": f"range of {DRAWINGS} drawings"}
    return {"value": float(np.mean(values)), **ends, "couples": found[0]["couples"]}


def description(bundle: Float64[np.ndarray, "depth u v"]) -> Float64[np.ndarray, " d"]:
    """Profiles from outside to inside, relative to the bundle: steps, spread, and roughness along the border."""
    steps = np.abs(np.diff(bundle, axis=0)).mean((1, 2))
    rough = np.abs(np.diff(bundle, 2, 1)).mean((1, 2)) + np.abs(np.diff(bundle, 2, 2)).mean((1, 2))
    profiles = (steps, bundle.std((1, 2)), rough)
    return np.concatenate([profile / max(float(profile.mean()), 1e-9) for profile in profiles])


def painted(pairs: Sequence[tuple[Case, Case]]) -> Mapping[str, Any]:
    """How much was changed outside the masks, how far from them, and what `medsmith evaluate` finds of it."""
    outside, reach, cases = [], [], []
    for made, before in pairs:
        lesion, original = lesion_of(made), canonical_case(before).require_image()[0]
        changed = (lesion.image != original) & ~lesion.mask
        distance = distance_transform_edt(~lesion.mask, sampling=lesion.spacing)
        outside.append(float(changed.sum() / lesion.mask.sum()))
        reach.append(float(distance[changed].max(initial=0.0)))
        margin = [round(MARGIN_MM / edge) for edge in lesion.spacing]
        boxes = [grown(box, margin, lesion.image.shape) for box in boxes_of(made.provenance)]
        cases.append(PaintedCase(lesion.image, lesion.mask, boxes, original, before.id))
    found = measure_seams(cases, seed=0)
    return {
        "n": len(pairs),
        "scans": len({case.scan for case in cases}),
        "voxels_outside_per_voxel_inside": quartiles(outside),
        "farthest_mm": quartiles(reach),
        "seams_of_evaluate": None if found is None else found.as_json(),
    }


def quartiles(values: Sequence[float]) -> Sequence[float]:
    """Smallest value, quartiles, largest value."""
    return np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).round(3).tolist()


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else COUNT)
    except MedsmithError as error:
        sys.exit(error.line)
