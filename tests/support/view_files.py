"""Reads what a viewer's folder holds, and makes cohorts for one."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry

NAMES = {"background": 0, "liver": 1, "lesion": 2}


class Script(NamedTuple):
    """The script of a case: what it says, and its volumes as NIfTI images."""

    content: dict[str, Any]
    volumes: dict[str, nib.Nifti1Image]


def read_script(path: Path) -> Script:
    """What the page receives when it loads the script."""
    first, call = path.read_text().split("\n", 1)
    assert re.fullmatch("// medsmith view [0-9a-f]{64}", first)
    start = "medsmithView.receive("
    assert call.startswith(start)
    content, end = json.JSONDecoder().raw_decode(call, len(start))
    found = re.findall(r'^"([^"]+)": \[$(.*?)^\],$', call[end:], re.MULTILINE | re.DOTALL)
    return Script(content, {name: _image(re.findall('"([^"]*)"', strings)) for name, strings in found})


def _image(strings: list[str]) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(b"".join(map(base64.b64decode, strings))))


def read_index(folder: Path) -> dict[str, Any]:
    """The list of cases in the page."""
    found = re.search('<script type="application/json" id="index">(.*?)</script>', (folder / "index.html").read_text())
    assert found is not None
    return dict(json.loads(found[1]))


def scan(case_id: str, **changes: Any) -> Case:
    """A small CT with a liver and a lesion, stored from left to right and from front to back."""
    rng = np.random.default_rng(len(case_id))
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[2:9, 2:8, 1:7], labels[3:6, 4:6, 2:5] = 1, 2
    image = rng.integers(-1000, 400, (1, 12, 10, 8)).astype(np.float32)
    facts: dict[str, Any] = {
        "image": image,
        "labels": labels,
        "geometry": Geometry(labels.shape, np.diag([-2.0, -1.5, 3.0, 1.0])),
        "channel_names": ("CT",),
        "label_names": NAMES,
        "stored": np.dtype(np.int16),
    }
    return Case(case_id, **(facts | changes))


def cohort_of(root: Path, *cases: Case, ending: str = ".nii.gz") -> Cohort:
    """A cohort of these cases."""
    first = cases[0]
    channels = first.channel_names if first.image is not None else ()
    out = Cohort.create(root, channel_names=channels, label_names=first.label_names, file_ending=ending)
    for case in cases:
        out.write(case)
    out.finish()
    return Cohort.open(root)


def record(*, passed: bool = True, **changes: Any) -> dict[str, Any]:
    """The provenance of a case with one lesion, as of lesiondiffusion."""
    verdicts = [
        {"attribute": "size_mm", "requested": [6.0, 3.0, 9.0], "measured": [6.0, 3.0, 9.0], "passed": True},
        {"attribute": "density", "requested": "hypodense", "measured": "isodense", "passed": passed},
    ]
    lesion = {
        "requested": {"organ": "liver", "lesion_type": "liver cyst"},
        "measured": {"organ": "liver", "measured": {"mean_hu": 12.3456, "noise_hu": 4.0}},
        "box": [[6, 4, 2], [9, 6, 5]],
        "attempts": 3,
        "visible": True,
        "passed": passed,
        "verdicts": verdicts,
    }
    checks = [
        {"check": "lesions_visible", "outcome": "passed", "value": 0.0, "high": 0.0},
        {"check": "not_a_copy", "outcome": "not made", "reason": "no statistics"},
    ]
    facts = {"synthetic": True, "method": "lesiondiffusion", "weights_hash": "a" * 64, "refused": {"image_noise": 2}}
    return facts | {"template": "scan", "lesions": [lesion], "checks": checks} | changes
