"""What is made where nothing is asked: lesions of the kind that the method was trained on."""

import numpy as np
import pytest

from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.reports import unasked_report
from medsmith.reports.lesion_label import kind_named, organ_named, types_labeled
from medsmith.reports.rules import LESION_TYPES

ABDOMEN = {"liver": 1, "kidney_left": 2, "urinary_bladder": 3, "spleen": 4}
SHAPE = (4, 4, 4)


def organ_map(names):
    labels = np.zeros(SHAPE, np.uint8)
    labels.ravel()[: len(names)] = list(names.values())
    return OrganMap(labels, names, Geometry(SHAPE, np.eye(4)), "a map")


@pytest.mark.parametrize(
    ("label", "kind", "organ"),
    [
        ("liver_tumor", "cancer", "liver"),
        ("Kidney cyst", "cyst", "kidney"),
        ("lesion", None, None),
        ("spleen_lesion", None, "spleen"),
        ("gallstone", "stone", None),
    ],
)
def test_what_the_name_of_a_label_says(label, kind, organ):
    assert (kind_named(label), organ_named(label)) == (kind, organ)


@pytest.mark.parametrize(
    ("labels", "types"),
    [
        (["liver", "liver_tumor"], {"liver cancer"}),
        (["pancreas", "cancer"], {"pancreas cancer"}),
        (["liver", "lesion"], {"liver cyst", "liver cancer"}),
        (["kidney_left", "kidney_cyst_left", "liver_tumour"], {"kidney cyst", "liver cancer"}),
        (["lesion"], set()),
        (["spleen", "spleen_lesion"], set()),
    ],
)
def test_types_that_labels_can_mean(labels, types):
    assert set(types_labeled({"background": 0} | {name: row for row, name in enumerate(labels, 1)})) == types


@pytest.mark.parametrize("seed", range(8))
def test_the_kind_of_the_training_cohort_is_made(seed):
    rng = np.random.default_rng(seed)
    report = unasked_report({"liver": 1, "liver_tumor": 2}, organ_map(ABDOMEN), rng)
    assert (report.lesion_type, report.organ) == ("liver cancer", "liver")
    both = unasked_report({"liver_tumor": 1, "kidney_cyst": 2}, organ_map(ABDOMEN), rng)
    assert both.lesion_type in ("liver cancer", "kidney cyst")
    untyped = unasked_report({"spleen_lesion": 1}, organ_map(ABDOMEN), rng)
    assert (untyped.lesion_type, untyped.organ, untyped.size_mm) == (None, "spleen", (20, 20, 20))
    unknown = unasked_report({"lesion": 1}, organ_map(ABDOMEN), rng)
    assert LESION_TYPES[str(unknown.lesion_type)].organ in ("liver", "kidney", "urinary_bladder")


def test_a_scan_without_the_organ_is_refused():
    with pytest.raises(RequestError) as refused:
        unasked_report({"liver_tumor": 1}, organ_map({"brain": 1}), np.random.default_rng(0))
    assert refused.value.line == (
        "request: trained on liver cancer, of which the organ map (a map) has no organ; it has brain; "
        "say what is wanted: --report"
    )
