"""Bare scans as templates: without label maps, the organs come from densities alone."""

import numpy as np

from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.insertion.organ_sources import organ_map_of
from medsmith.insertion.templates import image_file, templates_in_turn
from medsmith.preparation import PrepareOptions, prepare
from scan_files import nifti_bytes, zipped


def body():
    """Air, and in it a box of fat around soft tissue, with bone in the middle."""
    scan = np.full((30, 32, 26), -1000, np.int16)
    scan[5:25, 5:27, :] = -100
    scan[7:23, 7:25, :] = 40
    scan[13:17, 13:17, :] = 700
    return scan + np.random.default_rng(0).integers(-9, 9, scan.shape).astype(np.int16)


def test_bare_scans_are_templates_with_the_coarse_map(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "patient_1.nii.gz").write_bytes(zipped(nifti_bytes(body())))
    cohort = prepare(tmp_path / "scans", tmp_path / "out", PrepareOptions(channel_names=("CT",)), report=lambda _: None)
    assert cohort.ids_with_labels == ()
    templates = CaseRef(cohort=Cohort.open(tmp_path / "out").root)
    (scan,) = templates_in_turn(templates, np.random.default_rng(0))
    assert not scan.require_labels().any()
    found = organ_map_of("template", scan, image_file(templates, scan.id), "v2")
    assert set(found.coarse) <= set(found.names)
    at = {name: found.labels[place] for name, place in {"bone": (15, 15, 13), "soft_tissue": (10, 10, 13)}.items()}
    assert at == {name: found.names[name] for name in at}
