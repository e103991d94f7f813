"""What a shape space keeps of real label maps, and how well its guidance images resemble low-passed scans.

SLICES is a cohort of chest CT slices with one patient in the first ten characters of each id (SegTHOR: esophagus 1,
heart 2, trachea 3, aorta 4; 8-bit, min-max). The space is fitted on all slices of the first six patients; guidance
images are measured on every fourth slice of the others, the round trip on every fourth slice of all. Times are those of
the processor. Intervals are Student's 95 % intervals over the means of patients
(phantoms: over cases). Writes anatomy.json beside this file, and docs/anatomy.png.

python benchmarks/mddpm/anatomy.py SLICES
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from intervals import interval
from torch.nn.functional import interpolate

from medsmith.anatomy import ShapeSpace
from medsmith.anatomy.contours import paint, trace_classes
from medsmith.anatomy.picture import draw_components
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.diffusion import low_pass
from medsmith.machine import facts
from medsmith.measurement.overlap import dice
from medsmith.phantoms.families import find_family

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "docs" / "anatomy.png"
TRAINED, EVERY, POINTS, FACTOR, EDGE = 6, 4, (24, 48, 64), 8, 64
NAMES = {1: "esophagus", 2: "heart", 3: "trachea", 4: "aorta"}
FEW = 30
"""Pixels below which a class is reported apart."""
Rows = dict[str, list[tuple[str, float]]]


def estimate(rows: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Mean and interval of values with their group; groups are drawn anew."""
    groups, values = zip(*rows, strict=True)
    mean, low, high = interval(np.array(values), groups)
    facts = {"mean": mean, "low": low, "high": high, "least": min(values)}
    known = {name: round(value, 4) for name, value in facts.items() if value is not None}
    return {"n": len(rows), "groups": len(set(groups))} | known


def round_trip(
    maps: Sequence[tuple[str, np.ndarray]], names: Mapping[int, str], points: int
) -> dict[str, dict[str, float]]:
    """Dice of every class after contours, splines and painting."""
    rows: Rows = {}
    for group, labels in maps:
        masks = {int(value): labels == value for value in np.unique(labels) if value}
        contours = [contour.spline(points) for contour in trace_classes(masks, points).contours]
        order = sorted(masks, key=lambda value: -int(masks[value].sum()))
        painted = paint(contours, order, labels.shape)
        for value, mask in masks.items():
            few = f", under {FEW} pixels" if mask.sum() < FEW else ""
            rows.setdefault(names[value] + few, []).append((group, dice(painted == value, mask)))
    return {name: estimate(found) for name, found in sorted(rows.items())}


def phantom_maps() -> dict[str, list[tuple[str, np.ndarray]]]:
    """Label maps of 24 CT phantoms, three axial slices each, and of 60 breast phantoms; all labels become one name."""
    ct, breast = find_family("ct"), find_family("breast")
    trunks: list[tuple[str, np.ndarray]] = []
    for seed in range(24):
        labels = ct.make(seed, "x", 96).require_labels()
        trunks += [(f"{seed:02}", labels[:, :, z]) for z in (24, 48, 72)]
    masses = [(f"{seed:02}", breast.make(seed, "x", 128).require_labels()[:, :, 0]) for seed in range(60)]
    return {"CT phantoms": trunks, "breast phantoms": masses}


def low_passed(image: np.ndarray) -> np.ndarray:
    """A square image, averaged down to 64 x 64, without what downsampling by 8 removes."""
    small = interpolate(torch.from_numpy(np.ascontiguousarray(image))[None, None].float(), (EDGE, EDGE), mode="area")
    return np.asarray(low_pass(FACTOR)(small)[0, 0])


def compare(space: ShapeSpace, bare: ShapeSpace, mean: np.ndarray, cases: Sequence[Case]) -> dict[str, object]:
    """Guidance images of real maps against their scans, both low-passed."""
    makers: dict[str, Callable[[Case], np.ndarray]] = {
        "labels, body and lung": lambda case: space.guidance_image(space.regions_of(case))[0],
        "labels alone": lambda case: bare.guidance_image(bare.regions_of(case))[0],
        "mean training slice": lambda _case: mean,
    }
    found: dict[str, object] = {}
    for name, make in makers.items():
        rows: Rows = {}
        for case in cases:
            scan, guide = low_passed(case.require_image()[0, :, :, 0]), low_passed(make(case))
            gain, offset = np.polyfit(guide.ravel(), scan.ravel(), 1)
            errors = guide - scan, gain * guide + offset - scan
            rmse, fitted = (float(np.sqrt(np.mean(error**2))) for error in errors)
            values = {
                "correlation": float(np.corrcoef(guide.ravel(), scan.ravel())[0, 1]),
                "rmse": rmse,
                "rmse over sd of the scan": rmse / float(scan.std()),
                "rmse over sd of the scan, best gain and offset": fitted / float(scan.std()),
            }
            for measure, value in values.items():
                rows.setdefault(measure, []).append((case.id[:10], value))
        found[name] = {measure: estimate(values) for measure, values in rows.items()}
    return found


def areas(maps: Sequence[np.ndarray], names: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Share of the maps that have a class, and quartiles of its area in percent of the field of view."""
    found = {}
    for name, value in names.items():
        shares = np.array([(regions == value).mean() * 100 for regions in maps])
        if value and (shares > 0).any():
            low, middle, high = np.percentile(shares[shares > 0], [25, 50, 75])
            facts = {"present": float((shares > 0).mean()), "lower": low, "median": middle, "upper": high}
            found[name] = {key: round(float(number), 3) for key, number in facts.items()}
    return found


def draws(space: ShapeSpace) -> tuple[dict[str, object], list[np.ndarray]]:
    """Speed, attempts and maps of 200 draws."""
    started = time.process_time()
    drawn = [space.sample(seed, (256, 256)) for seed in range(200)]
    seconds = (time.process_time() - started) / len(drawn)
    attempts = np.array([found.attempts for found in drawn])
    facts: dict[str, object] = {
        "milliseconds": round(seconds * 1000, 1),
        "attempts": round(float(attempts.mean()), 2),
        "most attempts": int(attempts.max()),
    }
    return facts, [found.regions for found in drawn]


def main(folder: Path) -> None:
    """Measure, print and write."""
    cohort = Cohort.open(folder)
    patients = sorted({case_id[:10] for case_id in cohort.ids_with_labels})
    trained = [case_id for case_id in cohort.ids_with_labels if case_id[:10] in patients[:TRAINED]]
    tested = [case_id for case_id in cohort.ids_with_labels if case_id[:10] in patients[TRAINED:]][::EVERY]
    started = time.process_time()
    space = ShapeSpace.fit(cohort.subset(trained))
    seconds = time.process_time() - started
    bare = ShapeSpace.fit(cohort.subset(trained), context="none")
    cases = [cohort[case_id] for case_id in tested]
    real = [space.regions_of(cohort[case_id]) for case_id in trained[::EVERY]]
    mean = np.stack([cohort[case_id].require_image()[0, :, :, 0] for case_id in trained]).mean(axis=0)
    maps = [(case_id[:10], cohort[case_id].require_labels()[:, :, 0]) for case_id in cohort.ids_with_labels[::EVERY]]
    speed, drawn = draws(space)
    record, names = space.record, space.record.region_names
    result = {
        "round trip": {str(points): round_trip(maps, NAMES, points) for points in POINTS},
        "round trip of phantoms": {
            name: round_trip(found, dict.fromkeys(range(256), name), 48) for name, found in phantom_maps().items()
        },
        "space": {
            "slices": record.cases,
            "patients": TRAINED,
            "components": len(record.explained),
            "slots": len(record.slots),
            "fragments": record.fragments,
            "left out": record.left_out,
            "rejection": record.rejection.model_dump() | {"rate": round(record.rejection.rate, 3)},
            "seconds to fit": round(seconds, 1),
            "gray values": {name: round(values[0], 1) for name, values in record.gray_values.items()},
        },
        "draws": speed,
        "guidance": compare(space, bare, mean, cases),
        "areas": {
            "training": areas(real, names),
            "test": areas([space.regions_of(case) for case in cases], names),
            "drawn": areas(drawn, names),
        },
        "facts": facts(),
    }
    (HERE / "anatomy.json").write_text(json.dumps(result, indent=2) + "\n")
    PICTURE.write_bytes(draw_components(space))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
