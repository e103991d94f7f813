"""Crops of organs with their lesions as a cohort of real masks: 96 x 96 x 96 voxels of 1.5 mm, labels alone.

    python examples/data/organ_crops.py kidney ../shared/data/kidney-masks runs/kidney-masks
    python examples/data/organ_crops.py lung ../shared/data/lung-masks runs/lung-masks
    medsmith describe runs/kidney-masks

kidney: KiTS23 (Heller et al., CC BY-NC-SA 4.0): kidney, tumour, cyst. lung: AIMI's corrected lung CT annotations (MIT):
lung, lesion. There is no CT: the cohort has labels alone.
"""

import sys
from pathlib import Path

import numpy as np
from masks import mask_case

from medsmith import Cohort
from medsmith.errors import FileError, RequestError
from medsmith.formats.files import read_labels, stem_of
from medsmith.progress import ConsoleProgress

LABELS = {
    "kidney": {"background": 0, "kidney": 1, "tumour": 2, "cyst": 3},
    "lung": {"background": 0, "lung": 1, "lesion": 2},
}


def main(kind: str, source: Path, out: Path) -> None:
    """Read the label maps in SOURCE and write or continue the cohort OUT."""
    if kind not in LABELS:
        raise RequestError("kind", repr(kind), f"one of {', '.join(LABELS)}", "choose one")
    files = sorted(source.glob("*.nii.gz"))
    if not files:
        raise FileError(source, "has no NIfTI file")
    cohort = Cohort.create(out, channel_names=(), label_names=LABELS[kind], file_ending=".nii.gz")
    with ConsoleProgress().task(kind, len(files)) as advance:
        for path in files:
            if stem_of(path) not in cohort:
                found = read_labels(path)
                cohort.write(mask_case(stem_of(path), np.array(found.values), found.geometry.affine, LABELS[kind]))
            advance(1, "")
    cohort.finish()
    print(f"{len(cohort)} crops -> {out}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
