"""The note on phantoms that could stand beside the real cases."""

import numpy as np
import pytest

from medsmith import Case, Cohort, phantom
from medsmith.evaluation.downstream.inputs import Cohorts
from medsmith.evaluation.downstream.procedural import trained_once, untried_phantoms
from medsmith.evaluation.downstream.separation import check_generator
from medsmith.geometry import Geometry
from medsmith.phantoms.breast.phantom import make_breast_case


def cohort_of(folder, label, channel="us", *, ending=".png", shape=(32, 32, 1)):
    case, names = make_breast_case(1, "one", 32), {"background": 0, label: 1}
    cohort = Cohort.create(folder, channel_names=(channel,), label_names=names, file_ending=ending)
    image, labels = (np.broadcast_to(each, shape).copy() for each in (case.require_image()[0], case.require_labels()))
    cohort.write(Case("one", image[None], labels, Geometry.plain(shape), (channel,), names, case.stored))
    cohort.finish()
    return Cohort.open(folder)


@pytest.mark.parametrize("label", ["lesion", "breast tumor"])
def test_phantoms_that_fit_are_named_with_their_command(tmp_path, label):
    real = cohort_of(tmp_path / "real", label)
    (line,) = untried_phantoms(Cohorts.of(real, real, real, None, None))
    assert "(of breast), which" in line
    assert "medsmith phantom breast PHANTOMS --like REAL, then utility --procedural PHANTOMS" in line
    assert str(tmp_path) not in line


def test_phantoms_whose_lesions_have_no_label_are_not_named(tmp_path):
    real = cohort_of(tmp_path / "real", "liver", "CT", ending=".nii.gz", shape=(32, 32, 32))
    (line,) = untried_phantoms(Cohorts.of(real, real, real, None, None))
    assert "(of ct-healthy, " in line
    assert "ct-varied" not in line


def test_no_organ_is_taken_for_a_lesion(tmp_path):
    real = cohort_of(tmp_path / "real", "heart")
    assert untried_phantoms(Cohorts.of(real, real, real, None, None)) == ()


def test_nothing_is_said_where_phantoms_are_given(tmp_path):
    real = cohort_of(tmp_path / "real", "lesion")
    assert untried_phantoms(Cohorts.of(real, real, real, None, None, real)) == ()


def test_phantoms_as_the_synthetic_cases_are_tried_and_learned_from_nothing(tmp_path):
    real, phantoms = cohort_of(tmp_path / "real", "lesion"), phantom("breast", tmp_path / "phantoms", 2, size=32)
    tried, untried = (Cohorts.of(real, synthetic, real, None, None) for synthetic in (phantoms, real))
    assert (untried_phantoms(tried), trained_once(tried)) == ((), ())
    assert check_generator(phantoms, real, []) == "The synthetic cases are phantoms, which learned from no image."
    (line,) = trained_once(untried)
    assert line.startswith("The generator was trained once: ")
    assert check_generator(real, real, []).startswith("Which cases the generator learned from is not recorded")


def test_nothing_is_said_where_no_family_fits(tmp_path):
    real = Cohort.create(
        tmp_path / "two", channel_names=("a", "b"), label_names={"background": 0, "lesion": 1}, file_ending=".png"
    )
    assert untried_phantoms(Cohorts.of(real, real, real, None, None)) == ()
