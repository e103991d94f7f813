"""Label fidelity of a cohort whose cases are there already."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError
from medsmith.evaluation.adherence import AdherenceOptions, cohort_adherence, label_fidelity
from medsmith.evaluation.adherence.label_fidelity import RealCases
from medsmith.evaluation.adherence.of_cohort import LEFT_OUT, evenly_chosen
from medsmith.evaluation.downstream import SegmenterConfig
from medsmith.formats.json_file import read_json
from medsmith.geometry import Geometry
from medsmith.progress import NullProgress

pytestmark = pytest.mark.usefixtures("no_fsync")
NAMES = {"background": 0, "lesion": 1}
OPTIONS = AdherenceOptions(pairs=10, steps=40, batch=4)


def squares(folder, count, seed, *, follows=True, label_names=None):
    """Bright squares on noise; the map outlines them, or a place of its own where the image does not follow it."""
    names, rng = label_names or NAMES, np.random.default_rng(seed)
    cohort = Cohort.create(folder, channel_names=("gray",), label_names=names, file_ending=".png")
    for number in range(count):
        shown, said = (np.zeros((16, 16, 1), np.uint8) for _ in range(2))
        for mask in (shown, said):
            x, y = rng.integers(0, 10, 2)
            mask[x : x + 6, y : y + 6] = 1
        image = np.rint(rng.uniform(0, 60, (1, 16, 16, 1)) + 150 * shown).astype(np.float32)
        labels, geometry = shown if follows else said, Geometry.plain((16, 16, 1))
        cohort.write(Case(f"{seed}-{number:02}", image, labels, geometry, ("gray",), names, np.dtype(np.uint8)))
    cohort.finish()
    return cohort


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("squares")
    return {
        "real": squares(root / "real", 10, 0),
        "test": squares(root / "test", 6, 1),
        "follows": squares(root / "follows", 13, 2),
        "ignores": squares(root / "ignores", 12, 3, follows=False),
    }


def measured(cohorts, made, out, **changes):
    options = OPTIONS.model_copy(update=changes)
    return cohort_adherence(cohorts[made], out, real=cohorts["real"], test=cohorts["test"], options=options)


@pytest.fixture(scope="module")
def report(cohorts, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    return out, measured(cohorts, "follows", out)


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(label_fidelity, "train_segmenter", lambda *_: pytest.fail("trained again"))


def test_the_report_says_whether_images_show_the_labels(report):
    out, found = report
    result = found.labels.structures["lesion"]
    assert (result.verdict, found.labels.cases, len(result.values)) == ("controlled", 10, 10)
    assert found.labels.real["lesion"].value > 0.6
    assert result.values[:, -1].mean() > 0.6 > 0.45 > result.values[:, 0].mean()
    record = read_json(out / "adherence.json")
    assert (record["method"], record["attributes"], record["left_out"]) == (None, {}, [LEFT_OUT])
    assert record["warning"] == "Synthetic research data, not for diagnosis."
    assert record["label_fidelity"]["structures"]["lesion"]["verdict"] == "controlled"
    page = (out / "adherence.html").read_text()
    assert "Do images show what label maps say?" in page
    assert "one seed" not in page


@pytest.mark.usefixtures("untrained")
def test_the_same_call_reads_the_segmenters_and_more_cases_continue(cohorts, report, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(report[0], out)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    measured(cohorts, "follows", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    assert measured(cohorts, "follows", out, pairs=13).labels.cases == 13
    with pytest.raises(CohortError, match=r"other inputs or options \(adherence.json differs in cohort\)"):
        measured(cohorts, "ignores", out)
    with pytest.raises(CohortError, match=r"adherence.json differs in segmenter\)"):
        measured(cohorts, "follows", out, steps=41)


@pytest.mark.parametrize(
    "damaged",
    [
        "one bit",
        "unwitnessed",
        pytest.param("the other network", marks=pytest.mark.slow),
        pytest.param("truncated", marks=pytest.mark.slow),
    ],
)
def test_segmenters_that_are_damaged_are_learned_anew_with_the_same_bytes(cohorts, report, tmp_path, damaged, caplog):
    cases = RealCases(cohorts["real"], cohorts["test"], SegmenterConfig(steps=OPTIONS.steps, batch=OPTIONS.batch))
    (kept,) = report[0].glob("labels-*")
    folder = shutil.copytree(kept, tmp_path / "kept")
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    first, second = sorted(folder.glob("segmenter-*.safetensors"))
    data = files[first]
    if damaged == "unwitnessed":
        first.with_suffix(".json").unlink()
    else:
        bits = {"one bit": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "truncated": data[:99]}
        first.write_bytes(bits.get(damaged, files[second]))
    found = label_fidelity.label_fidelity(evenly_chosen(cohorts["follows"], 10), cases, folder, NullProgress())
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    assert found.structures["lesion"].values.shape == (10, 2)
    assert caplog.messages == [f"{first}: is damaged, or not what this version writes, and is made anew"]


@pytest.mark.usefixtures("untrained")
def test_images_that_show_something_else_are_found_out(cohorts, report):
    cases = RealCases(cohorts["real"], cohorts["test"], SegmenterConfig(steps=OPTIONS.steps, batch=OPTIONS.batch))
    (kept,) = report[0].glob("labels-*")
    found = label_fidelity.label_fidelity(cohorts["ignores"], cases, kept, NullProgress())
    assert found.structures["lesion"].verdict == "uncontrolled"


def test_cohorts_that_do_not_fit_are_refused_and_nothing_is_written(cohorts, tmp_path):
    other = squares(tmp_path / "other", 10, 4, label_names={"background": 0, "tumor": 1})
    with pytest.raises(CohortError, match="tumor"):
        cohort_adherence(other, tmp_path / "out", real=cohorts["real"], test=cohorts["test"], options=OPTIONS)
    assert not (tmp_path / "out").exists()
    with pytest.raises(CohortError, match="0-00"):
        cohort_adherence(
            cohorts["follows"], tmp_path / "out", real=cohorts["real"], test=cohorts["real"], options=OPTIONS
        )
    assert not (tmp_path / "out" / "adherence.json").exists()


def test_cases_are_chosen_evenly(cohorts):
    assert evenly_chosen(cohorts["follows"], 4).ids == ("2-00", "2-04", "2-08", "2-12")
    assert evenly_chosen(cohorts["follows"], 50).ids == cohorts["follows"].ids


@pytest.mark.usefixtures("untrained")
def test_the_command_takes_a_cohort(cohorts, report, capsys):
    made, out, real = (str(path) for path in (cohorts["follows"].root, report[0], cohorts["real"].root))
    assert main(["adherence", made, out, "--real", real]) == 2
    said = f"--test: none given, and {made} is a cohort; its label fidelity needs both; name it"
    assert capsys.readouterr().err.splitlines() == [said]
    tested = ["--real", real, "--test", str(cohorts["test"].root)]
    assert main(["adherence", made, out, *tested, "--attribute", "shape"]) == 2
    assert "is a cohort, for which --attribute says nothing; only the label fidelity" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["adherence", made, out, *tested, "--pairs", "10", "--steps", "40", "--batch", "4", "-q"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Label 'lesion': Dice 0.")
    assert "; controlled (AUC" in said[0]
    assert said[1:] == [LEFT_OUT, f"report: {report[0] / 'adherence.html'}"]


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ((9, 9, 9), "follows: no label is in 10 of the 13 synthetic cases; at least 10 cases with one; make more"),
        ((10, 0, 9), "real: no training case has a label that 10 synthetic cases have"),
        ((10, 1, 0), "test: no test case has a label that 10 synthetic cases and a training case have"),
        ((10, 1, 1), None),
    ],
)
def test_one_label_has_to_be_made_learned_and_tested(cohorts, counts, line):
    """The second label is made often and tested, but in no training case."""
    named = {"made": cohorts["follows"], "training": cohorts["real"], "test": cohorts["test"]}
    made, learned, tested = counts
    second = {"made": 12 if made >= 10 else 0, "training": 0, "test": 5}
    found = {
        name: np.array([first, second[name]])
        for name, first in (("made", made), ("training", learned), ("test", tested))
    }
    if line is None:
        label_fidelity._check_labels(named, found)
        return
    with pytest.raises(RequestError, match=line):
        label_fidelity._check_labels(named, found)


def test_a_label_that_no_network_has_learned_is_left_out(cohorts, tmp_path):
    names = {**NAMES, "organ": 2}

    def with_organ(name, *, shown):
        out = Cohort.create(tmp_path / name, channel_names=("gray",), label_names=names, file_ending=".png")
        for case in cohorts[name]:
            labels = case.require_labels().copy()
            labels[-1, -1] = 2 * shown
            out.write(replace(case, labels=labels, label_names=names))
        out.finish()
        return out

    real, test, made = (with_organ(name, shown=name != "real") for name in ("real", "test", "follows"))
    cases = RealCases(real, test, SegmenterConfig(steps=2, batch=2))
    found = label_fidelity.label_fidelity(made, cases, tmp_path / "kept", NullProgress())
    assert list(found.structures) == ["lesion"]
    assert "Label 'organ' was left out: too few cases have it." in found.notes
