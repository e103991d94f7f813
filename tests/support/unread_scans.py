"""Scans for checks that come before a scan is read."""

import numpy as np

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.geometry import Geometry


def unread_scans(folder, label_names, channel="CT"):
    """A cohort whose only scan would be refused if it were read: it is no CT in Hounsfield units."""
    cohort = Cohort.create(folder, channel_names=(channel,), label_names=label_names, file_ending=".nii.gz")
    shape = (8, 8, 8)
    labels = np.zeros(shape, np.uint8)
    geometry = Geometry(shape, np.eye(4))
    image = np.ones((1, *shape), np.float32)
    cohort.write(Case("a", image, labels, geometry, (channel,), label_names, np.dtype(np.int16)))
    cohort.finish()
    return folder
