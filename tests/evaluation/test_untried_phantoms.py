"""The note on phantoms that could stand beside the real cases."""

from medsmith import Cohort
from medsmith.evaluation.downstream.inputs import Cohorts
from medsmith.evaluation.downstream.procedural import untried_phantoms
from medsmith.geometry import Geometry
from medsmith.phantoms.breast.phantom import make_breast_case


def cohort_of(folder, label):
    case = make_breast_case(1, "one", 32)
    names = {"background": 0, label: 1}
    cohort = Cohort.create(folder, channel_names=("us",), label_names=names, file_ending=".png")
    cohort.write(type(case)("one", case.image, case.labels, Geometry.plain((32, 32, 1)), ("us",), names, case.stored))
    cohort.finish()
    return Cohort.open(folder)


def test_phantoms_that_fit_are_named_with_their_command(tmp_path):
    real = cohort_of(tmp_path / "real", "lesion")
    (line,) = untried_phantoms(Cohorts.of(real, real, real, None, None))
    assert f"(of breast): medsmith phantom breast PHANTOMS --like {real.root}, then utility --procedural" in line


def test_nothing_is_said_where_phantoms_are_given(tmp_path):
    real = cohort_of(tmp_path / "real", "lesion")
    assert untried_phantoms(Cohorts.of(real, real, real, None, None, real)) == ()


def test_nothing_is_said_where_no_family_fits(tmp_path):
    real = Cohort.create(
        tmp_path / "two", channel_names=("a", "b"), label_names={"background": 0, "lesion": 1}, file_ending=".png"
    )
    assert untried_phantoms(Cohorts.of(real, real, real, None, None)) == ()
