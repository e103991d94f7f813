"""Small cohorts, result files and pages of reader studies for tests."""

import base64
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.evaluation.reader_study.key import StudyKey
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC
from medsmith.evaluation.reader_study.results import checksum
from medsmith.geometry import Geometry


def picture_cohort(root: Path, count: int, seed: int, *, edge: int = 40, step: int = 1, prefix: str = "case") -> Cohort:
    """8-bit pictures of noise; with ``step`` > 1 gray values are multiples of it."""
    cohort = Cohort.create(
        root, channel_names=("ultrasound",), label_names={"background": 0, "mass": 1}, file_ending=".png"
    )
    rng = np.random.default_rng(seed)
    for number in range(count):
        texture = gaussian_filter(rng.standard_normal((edge, edge, 1)), 1.5, axes=(0, 1))
        image = np.clip(np.rint((120 + 45 * texture / texture.std()) / step) * step, 0, 255)
        _write(cohort, f"{prefix}-{number:03d}", image, np.uint8, Geometry.plain(image.shape))
    cohort.finish()
    return cohort


def scan_cohort(root: Path, count: int, seed: int, *, shape: tuple[int, int, int] = (40, 40, 12), spacing: float = 1.0,
                highest: float = 1400.0, hu_step: float = 1.0, gradient: bool = False,
                channel: str = "CT", least: float = -1024.0) -> Cohort:  # fmt: skip
    """CT in HU: air, soft tissue and bone; ``gradient`` brightens towards the patient's left and front."""
    cohort = Cohort.create(
        root, channel_names=(channel,), label_names={"background": 0, "lesion": 1}, file_ending=".nii.gz"
    )
    rng = np.random.default_rng(seed)
    x, y, _ = np.indices(shape) / shape[0] - 0.5
    for number in range(count):
        body = np.hypot(x, y) < rng.uniform(0.35, 0.45)
        image = np.where(body, rng.normal(40, 20, shape), rng.normal(-1000, 15, shape))
        image[np.hypot(x - 0.1, y) < 0.08] = highest
        image += 800 * (x < -0.3) * (y > 0.3) if gradient else 0
        image = np.clip(np.rint(image / hu_step) * hu_step, least, highest)
        affine = np.diag([spacing, spacing, 2.0, 1.0])
        _write(cohort, f"scan-{number:03d}", image, np.int16, Geometry(shape, affine))
    cohort.finish()
    return cohort


def _write(cohort: Cohort, name: str, image: np.ndarray, stored: Any, geometry: Geometry) -> None:
    cohort.write(
        Case(
            id=name,
            image=image.astype(np.float32)[None],
            labels=None,
            geometry=geometry,
            channel_names=cohort.channel_names,
            label_names=cohort.label_names,
            stored=np.dtype(stored),
        )
    )


def data_of(page: Path) -> dict[str, Any]:
    """What a study page holds."""
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def unpack(text: str, shape: list[int]) -> np.ndarray:
    """The inverse of ``study_page.pack``, as the page does it."""
    data = base64.b64decode(text)
    (length,) = struct.unpack_from("<I", data)
    planes = np.frombuffer(zlib.decompress(data[4 : 4 + length]), np.uint8).reshape(2, -1).astype(np.uint16)
    return np.cumsum((planes[0] + 256 * planes[1]).reshape(shape), axis=2, dtype=np.uint16)


OBSERVER: dict[str, Any] = {
    "auc": {"value": 0.81, "low": 0.62, "high": 0.92, "n": 30, "interval": "DeLong, logit"},
    "description": "logistic regression",
    "roc": [[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]],
    "tested": [8, 8],
    "trained": [7, 7],
    "warning": "; simple image statistics alone tell the two kinds apart",
}


def _cases(answer: str, patient: str) -> list[dict[str, str]]:
    kinds = [answer] if answer in (REAL, SYNTHETIC) else [REAL, SYNTHETIC]
    return [{"id": f"{kind}-{patient}", "kind": kind, "patient": patient} for kind in kinds]


def make_key(
    path: Path,
    answers: list[str],
    *,
    mode: str = "single",
    repeats: tuple[int, ...] = (),
    margin: float = 0.1,
    patients: list[str] | None = None,
) -> StudyKey:
    """A key with these answers, and repeats of some trials at the end; by default each trial is of another patient."""
    owners = patients or [f"p{i}" for i in range(len(answers))]
    trials: list[dict[str, Any]] = [
        {"answer": answer, "cases": _cases(answer, owner), "repeat_of": None}
        for answer, owner in zip(answers, owners, strict=True)
    ]
    swap = {"left": "right", "right": "left"}
    trials += [{**trials[i], "answer": swap.get(answers[i], answers[i]), "repeat_of": i} for i in repeats]
    sealed = {
        "cohorts": {kind: {"cases": 20, "content": "c0"} for kind in (REAL, SYNTHETIC)},
        "margin": margin,
        "medsmith": "0",
        "mode": mode,
        "naive_observer": OBSERVER,
        "presentation": {"grid": "40 x 40"},
        "seed": 0,
        "trials": trials,
    }
    key = StudyKey("salt", sealed)
    key.write(path)
    return key


def write_result(
    path: Path,
    key: StudyKey,
    ratings: list[int],
    *,
    reader: str = "Ann",
    calls: list[str] | None = None,
    **changes: Any,
) -> Path:
    """A result file as the page writes it; by default the rating decides the call."""
    low, high = ("real", "synthetic") if key.mode == "single" else ("left", "right")
    calls = calls or [high if rating >= 3 else low for rating in ratings]
    answers = [
        {"trial": i, "rating": rating, "call": call, "milliseconds": 4000 + i, "windows": {"Full range": 4000 + i}}
        for i, (rating, call) in enumerate(zip(ratings, calls, strict=True))
    ]
    record: dict[str, Any] = {
        "format": "medsmith turing result",
        "version": 1,
        "study": key.study,
        "key_hash": key.hash,
        "mode": key.mode.value,
        "reader": {"name": reader, "experience": "radiology, 8 years"},
        "started": "2026-01-01T08:00:00.000Z",
        "saved": "2026-01-01T08:30:00.000Z",
        "sessions": 1,
        "complete": len(ratings) == len(key.answers),
        "screen": {"width": 1920, "height": 1080, "pixel_ratio_percent": 100},
        "browser": "test",
        "answers": answers,
        "learning": [],
    } | changes
    path.write_text(json.dumps({**record, "checksum": checksum(record)}, indent=1, ensure_ascii=False))
    return path
