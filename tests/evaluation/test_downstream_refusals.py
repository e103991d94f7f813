"""What the utility experiment refuses, before it trains."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from box_cohorts import make_cohort
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, MedsmithError, RequestError
from medsmith.evaluation.downstream import UtilityOptions
from medsmith.evaluation.downstream.separation import read_keys
from medsmith.evaluation.downstream.utility import utility
from medsmith.evaluation.privacy import measure_privacy
from medsmith.formats.lock import hold_output
from medsmith.geometry import Geometry
from medsmith.progress import NullProgress
from quick_utility import QUICK, of_all, three_cohorts


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    return three_cohorts(tmp_path_factory.mktemp("utility"))


@pytest.mark.parametrize("place", ["real", "synthetic", "further real", "generator's"])
def test_a_test_image_in_training_is_refused_by_name(cohorts, tmp_path, place):
    real, synthetic, test = cohorts
    leaky = make_cohort(tmp_path / "leaky", 4, 5, copies=[test[test.ids[3]]], synthetic=place == "synthetic")
    given = {"real": real, "synthetic": synthetic, "further real": None, "generator's": None, place: leaky}
    with pytest.raises(CohortError, match=f"1 test image is among the {place} ones \\(case-003 is copy-000\\)"):
        utility(
            given["real"],
            given["synthetic"],
            test,
            tmp_path / "out",
            more=given["further real"],
            training=given["generator's"],
            config=QUICK,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("label", "cure"),
    [
        ("synthetic_lesion", "make it again so that all lesions have one label: synthesize --label-as mass"),
        ("vessel", "make them alike"),
    ],
)
def test_other_labels_are_refused_with_their_cure(cohorts, tmp_path, label, cure):
    real, synthetic, test = cohorts
    out = Cohort.create(
        tmp_path / "other",
        channel_names=synthetic.channel_names,
        label_names={**real.label_names, label: 2},
        file_ending=synthetic.file_ending,
    )
    out.write(replace(synthetic[synthetic.ids[0]], label_names=out.label_names))
    out.finish()
    with pytest.raises(CohortError) as caught:
        utility(real, out, test, tmp_path / "out", config=QUICK)
    assert caught.value.cure == cure
    assert label in caught.value.found


def test_slices_against_volumes_are_refused(cohorts, tmp_path):
    real, synthetic, test = cohorts
    volumes = make_cohort(tmp_path / "volumes", 3, 0, shape=(16, 16, 16))
    for made, tested in ((volumes, test), (synthetic, volumes)):
        with pytest.raises(CohortError, match=r"volumes: is 3-D; .*real is 2-D, and all must be equal"):
            utility(real, made, tested, tmp_path / "out", config=QUICK)
    with pytest.raises(CohortError, match=r"volumes: is 3-D; .*real is 2-D, and all must be equal"):
        utility(real, synthetic, test, tmp_path / "out", training=volumes, config=QUICK)
    assert not (tmp_path / "out").exists()


def test_volumes_among_slices_are_refused(cohorts, tmp_path):
    real, synthetic, test = cohorts
    both = Cohort.create(
        tmp_path / "both", channel_names=real.channel_names, label_names=real.label_names, file_ending=".nii.gz"
    )
    for name, shape in (("slice", (16, 16, 1)), ("volume", (16, 16, 16))):
        geometry = Geometry(shape, np.eye(4))
        image, labels = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape) % 9, np.zeros(shape, np.uint8)
        both.write(Case(name, image, labels, geometry, both.channel_names, real.label_names, np.dtype(np.int16)))
    both.finish()
    line = "both, case volume: is 3-D; slice is 2-D, and all must be equal; leave out one kind"
    with pytest.raises(CohortError, match=line):
        utility(both, synthetic, test, tmp_path / "out", config=QUICK)
    with pytest.raises(CohortError, match=line):
        read_keys(both, "training", NullProgress())
    with pytest.raises(CohortError, match=line):
        measure_privacy(both, real, tmp_path / "privacy", extractors=[])
    assert not (tmp_path / "out").exists()


def test_real_cases_without_a_label_are_refused(cohorts, tmp_path):
    real, synthetic, test = cohorts
    empty = Cohort.create(
        tmp_path / "empty", channel_names=real.channel_names, label_names=real.label_names, file_ending=real.file_ending
    )
    for case in real:
        empty.write(replace(case, labels=np.zeros_like(case.labels)))
    empty.finish()
    with pytest.raises(CohortError, match="empty: no case has a labeled voxel; networks learn structures from these"):
        utility(empty, synthetic, test, tmp_path / "out", config=QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["utility.json", "utility.html", "settings.json"])
def test_a_file_of_others_is_not_overwritten(cohorts, tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(MedsmithError, match=r"exists and is no earlier result|holds results of other settings"):
        of_all(cohorts, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "{}")]


def test_one_process_writes_results(cohorts, tmp_path):
    with hold_output(tmp_path), pytest.raises(CohortError, match="another process is writing here"):
        of_all(cohorts, tmp_path)


def test_a_patient_in_both_cohorts_is_refused(cohorts, tmp_path):
    with pytest.raises(CohortError, match=r"5 patients have training cases as well \(000\)"):
        of_all(cohorts, tmp_path / "out", group=r"case-(\d+)")


@pytest.mark.parametrize("place", ["more", "training"])
def test_a_patient_of_another_cohort_is_refused_and_so_is_an_id_without_one(cohorts, tmp_path, place):
    real, synthetic, test = cohorts
    patients = {"real": real, "test": test, "same": test, "nameless": test}
    names = {"real": "p{}0", "test": "p{}1", "same": "p{}1-more", "nameless": "x{}"}
    given = {each: _renamed(tmp_path / each, cohort, names[each], seed) for seed, (each, cohort) in
             enumerate(patients.items())}  # fmt: skip
    for each, error, words in (
        ("same", CohortError, r"5 patients have training cases as well \(p01\)"),
        ("nameless", RequestError, "does not match 5 ids: x0"),
    ):
        with pytest.raises(error, match=words):
            utility(given["real"], synthetic, given["test"], tmp_path / "out", config=QUICK,
                    options=UtilityOptions(group=r"p\d+"), **{place: given[each]})  # fmt: skip
    assert not (tmp_path / "out").exists()


def _renamed(root, source, name, seed):
    """The cases of a cohort by other names, with other gray values."""
    cohort = Cohort.create(
        root, channel_names=source.channel_names, label_names=source.label_names, file_ending=source.file_ending
    )
    noise = np.random.default_rng(seed)
    for number, case in enumerate(source):
        image = noise.integers(0, 255, case.image.shape).astype(case.image.dtype)
        cohort.write(replace(case, id=name.format(number), image=image, provenance=None))
    cohort.finish()
    return Cohort.open(root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cases": (6,)}, "cases: 6; 6 real cases, the smallest patient or scene with 1"),
        ({"cases": (7,)}, "ask for fewer than there are, or for 0"),
        ({"size": 1_000_000}, "a multiple of 8, 16 to 1024"),
        ({"size": 20}, "a multiple of 8"),
        ({"group": "patient"}, "does not match 6 ids"),
    ],
)
def test_impossible_requests_are_refused(cohorts, tmp_path, change, words):
    with pytest.raises(RequestError, match=words):
        of_all(cohorts, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change",
    [{"shares": (1.0,)}, {"shares": (float("nan"),)}, {"shares": ()}, {"seeds": 0}, {"cases": (-1,)}, {"weight": 0}],
)
def test_options_out_of_range_are_refused(change):
    with pytest.raises(ValidationError):
        UtilityOptions(**change)


def test_the_command_says_which_option_is_wrong(cohorts, tmp_path, capsys):
    real, synthetic, test = (str(cohort.root) for cohort in cohorts)
    words = ["utility", real, synthetic, "--test", test, "--out", str(tmp_path / "out")]
    assert main([*words, "--share", "1.5"]) == 2
    assert "shares" in capsys.readouterr().err
    assert main([*words, "--cases", "20;40"]) == 2
    assert "--cases: '20;40'; whole numbers separated by commas" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_labels_are_refused(cohorts, tmp_path):
    other = make_cohort(tmp_path / "other", 3, 0, label="cyst")
    with pytest.raises(CohortError, match="cyst"):
        of_all((*cohorts[:2], other), tmp_path / "out")


@pytest.mark.parametrize(
    ("missing", "words"),
    [({"labels": None}, "1 of 5 cases have no labels"), ({"image": None}, "1 of 5 cases have no image")],
)
def test_cases_without_image_or_labels_are_refused(cohorts, tmp_path, missing, words):
    test = make_cohort(tmp_path / "test", 5, 7)
    test.write(replace(test["case-002"], **missing))
    with pytest.raises(CohortError, match=f"{words}; a segmentation network needs both"):
        of_all((*cohorts[:2], test), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_test_cases_without_a_structure_are_refused(cohorts, tmp_path):
    test = make_cohort(tmp_path / "test", 3, 7)
    for case_id in test.ids[:2]:
        test.write(replace(test[case_id], labels=test[case_id].labels * 0))
    with pytest.raises(CohortError, match="1 test patient with a labeled voxel"):
        of_all((*cohorts[:2], test), tmp_path / "out")


def test_results_go_nowhere_into_what_is_read(cohorts):
    with pytest.raises(CohortError, match="nothing is written into what is read"):
        of_all(cohorts, cohorts[0].root / "utility")
    assert not (cohorts[0].root / "utility").exists()
