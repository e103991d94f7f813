"""The privacy check end to end on small cohorts with planted copies, and its page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.data.copies import find_matches
from medsmith.data.fingerprint import take_fingerprint
from medsmith.data.similarity import COPY_MEASURE, copy_threshold, thumbnails
from medsmith.errors import CohortError, FileError, RequestError
from medsmith.evaluation.pages.page import WARNING, Page
from medsmith.evaluation.privacy import batches, measure_privacy, summary_lines
from medsmith.evaluation.privacy.regions import lesion_region
from medsmith.geometry import Geometry
from medsmith.synthesis.checks.images import not_a_copy
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts

NAMES = {"background": 0, "mass": 1}


def textured(case_id, seed, shape=(40, 40, 1)):
    """A textured picture or volume with an irregular bright mass."""
    rng = np.random.default_rng(seed)
    axes = (0, 1) if shape[2] == 1 else (0, 1, 2)
    smooth, rough = (gaussian_filter(rng.standard_normal(shape), s, axes=axes) for s in (4, 1.2))
    grid, centre = np.indices(shape), rng.uniform(0.35, 0.65, 3) * shape
    radius = sum((grid[a] - centre[a]) ** 2 for a in axes) ** 0.5
    inside = radius < (0.25 + 0.1 * smooth / smooth.std()) * shape[0] * 0.8
    image = np.clip(np.rint(110 + 25 * rough / rough.std() + 40 * inside), 0, 255).astype(np.float32)
    geometry = Geometry.plain(shape) if shape[2] == 1 else Geometry(shape, np.eye(4))
    stored = np.dtype(np.uint8 if shape[2] == 1 else np.int16)
    return Case(case_id, image[None], inside.astype(np.uint8), geometry, ("US",), NAMES, stored)


def write(root, cases, names=NAMES):
    cohort = Cohort.create(root, channel_names=("US",), label_names=names, file_ending=".png")
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return cohort


def mirrored(case, case_id):
    flipped = {name: np.ascontiguousarray(getattr(case, name)[..., ::-1, :]) for name in ("image", "labels")}
    return replace(case, id=case_id, **flipped)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("privacy")
    training = [textured(f"t{n}", n) for n in range(12)]
    held_out = [textured(f"h{n}", 100 + n) for n in range(12)]
    fresh = [textured(f"s{n}", 200 + n) for n in range(4)]
    planted = [replace(training[2], id="copy"), mirrored(training[5], "mirror")]
    inverted = replace(training[7], id="negative", image=255 - training[7].image)
    elsewhere = textured("pasted", 300)
    mass = training[9].labels > 0
    pasted = replace(elsewhere, image=np.where(mass, training[9].image, elsewhere.image), labels=training[9].labels)
    synthetic = [*fresh, *planted, inverted, pasted]
    parts = {"training": training, "held": held_out, "synthetic": synthetic}
    return {name: write(root / name, cases) for name, cases in parts.items()}


@pytest.fixture
def numbers_only(monkeypatch):
    """No page, whose figures take most of the time."""
    monkeypatch.setattr("medsmith.evaluation.privacy.measuring.privacy_page", lambda *_: Page("", [], [], {}))


@pytest.mark.usefixtures("numbers_only")
def test_patients_are_found_in_ids(cohorts, tmp_path):
    given = cohorts["synthetic"], cohorts["training"], tmp_path / "out"
    found = measure_privacy(*given, held_out=cohorts["held"], group="[a-z][0-9]")
    assert {each.patients for each in found.membership.values()} == {(10, 10)}
    assert "12 training and 12 held-out cases of 10 and 10 patients" in "".join(summary_lines(found))
    record = json.loads((tmp_path / "out/privacy.json").read_text())
    assert record["images"]["membership"]["patients"] == [10, 10]
    with pytest.raises(CohortError, match=r"report of other inputs or options .* differs in patients \(--group\)"):
        measure_privacy(*given, held_out=cohorts["held"])


def test_patients_that_do_not_fit_are_refused(cohorts, tmp_path, capsys):
    folders = {name: str(cohort.root) for name, cohort in cohorts.items()}
    call = ["privacy", folders["synthetic"], "--training", folders["training"], "--out", str(tmp_path / "out")]
    both = [*call, "--held-out", folders["held"]]
    for arguments, said in (
        ([*both, "--group", r"\d+"], "12 patients have training cases as well (0)"),
        ([*both, "--group", "t"], "--group: 't' does not match 12 ids"),
        ([*call, "--group", r"\w\d+"], "--group: there is no held-out cohort"),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def found(cohorts, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    result = measure_privacy(cohorts["synthetic"], cohorts["training"], out, held_out=cohorts["held"])
    return result, out


def copied(part):
    return {(pair["synthetic"], pair["training"]) for pair in part if pair["copy"]}


def test_planted_copies_are_found_and_nothing_else(found):
    result, _ = found
    planted = {("copy", "t2"), ("mirror", "t5"), ("negative", "t7")}
    assert copied(result.images.pairs()) == planted
    assert copied(result.lesions.pairs()) >= planted | {("pasted", "t9")}
    nearest = result.lesions.pairs()
    assert {(pair["synthetic"], pair["training"]) for pair in nearest[:4]} == planted | {("pasted", "t9")}
    assert nearest[3]["similarity"] > 0.95 > nearest[4]["similarity"]
    assert copied(result.labels.as_json()["pairs"]) >= planted | {("pasted", "t9")}
    assert (result.images.found.flagged.value, result.images.found.flagged.n) == (3 / 8, 8)
    assert (result.images.found.copied.value, result.images.found.copied.n) == (3 / 12, 12)
    assert result.images.found.held_out.n == 12
    negative = next(pair for pair in result.images.pairs() if pair["synthetic"] == "negative")
    assert negative["inverted"] is True
    assert negative["similarity"] == pytest.approx(1, abs=1e-3)


def test_exact_copies_are_named_whatever_the_statistics(found):
    result, _ = found
    exact = {("copy", "t2"), ("mirror", "t5"), ("negative", "t7")}
    assert {*result.images.exact} == exact
    assert {*result.lesions.exact} == exact | {("pasted", "t9")}
    assert result.images.as_json()["exact_copies"] == 3
    said = summary_lines(result)
    assert said[0].startswith("Private? No: exact copies of training cases (3 whole images, 4 lesion regions): ")
    assert (
        "Exact copies, whole images: 3 synthetic cases are exact copies (similarity 1.000), which chance does not "
        "explain: copy of t2, mirror of t5, negative of t7."
    ) in said
    listed = next(line for line in said if line.startswith("Exact copies, lesion regions: 4 synthetic cases"))
    assert listed.endswith("copy of t2, mirror of t5, negative of t7 and 1 more.")
    assert all(pair["exact"] == (pair["similarity"] >= 0.9995) for pair in result.lesions.pairs())


def test_one_exact_copy_is_no_plural(found, monkeypatch):
    result, _ = found
    monkeypatch.setattr(type(result.images), "exact", (("copy", "t2"),))
    assert summary_lines(result)[0].startswith(
        "Private? No: exact copies of training cases (1 whole image, 1 lesion region): "
    )


def test_the_record_and_the_page_hold_the_numbers_and_ask_nobody(found):
    result, out = found
    record = json.loads((out / "privacy.json").read_text())
    assert record["warning"] == WARNING
    assert record["images"]["flagged"]["value"] == 3 / 8
    assert record["images"]["membership"]["training_cases"] == 12
    assert record["nearness"]["radiomic vector"]["membership"]["held_out_cases"] == 12
    inferred = ["similarity of whole images", "similarity of lesion regions", "radiomic vector"]
    assert set(record["membership_p_holm"]) == set(inferred)
    assert (
        record["membership_p_holm"]["radiomic vector"] >= record["nearness"]["radiomic vector"]["membership"]["p_value"]
    )
    said = [line for line in summary_lines(result) if line.startswith("Membership inference by ")]
    assert [line.split(":")[0].removeprefix("Membership inference by ") for line in said] == inferred
    assert all("by Holm over 3 such tests" in line for line in said)
    page = (out / "privacy.html").read_text()
    assert WARNING in page
    assert "What this does not prove" in page
    assert "3 of 8" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 6
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert any("whole images: 3 of 8" in line for line in summary_lines(result))


def test_a_report_of_other_inputs_or_options_is_not_replaced(found, cohorts, tmp_path):
    _, out = found
    of_all_labels = tmp_path / "privacy.json"
    record = json.loads((out / "privacy.json").read_text())
    of_all_labels.write_text(json.dumps({**record, "facts": {**record["facts"], "lesion label": "all"}}))
    held_out = {"held_out": cohorts["held"]}
    for folder, differs, more in ((out, "held-out cohort", {}), (tmp_path, "lesion label", held_out)):
        before = (folder / "privacy.json").read_bytes()
        with pytest.raises(CohortError, match=rf"other inputs or options \(privacy.json differs in {differs}\)"):
            measure_privacy(cohorts["synthetic"], cohorts["training"], folder, **more)
        assert (folder / "privacy.json").read_bytes() == before


@pytest.mark.usefixtures("numbers_only")
def test_an_interrupted_search_continues_and_gives_the_same_bytes(found, cohorts, tmp_path, monkeypatch):
    _, out = found
    calls = []

    def stop(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return find_matches(*arguments, **more)

    arguments = (cohorts["synthetic"], cohorts["training"], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(batches, "find_matches", stop)
        with pytest.raises(KeyboardInterrupt):
            measure_privacy(*arguments, held_out=cohorts["held"])
    assert not (tmp_path / "privacy.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("images-synthetic*.json")}
    assert len(kept) == 1
    measure_privacy(*arguments, held_out=cohorts["held"])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (tmp_path / "privacy.json").read_bytes() == (out / "privacy.json").read_bytes()


@pytest.mark.usefixtures("numbers_only")
def test_without_held_out_cases_the_training_cases_set_the_threshold(cohorts, tmp_path, capsys):
    paths = (str(cohorts["synthetic"].root), "--training", str(cohorts["training"].root), "--out", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        main(["privacy", *paths])
    assert not stopped.value.code
    record = json.loads((tmp_path / "privacy.json").read_text())
    assert copied(record["images"]["pairs"]) == {("copy", "t2"), ("mirror", "t5"), ("negative", "t7")}
    assert (record["images"]["membership"], record["images"]["held_out"]) == (None, None)
    assert "Membership inference was not measured" in capsys.readouterr().out


def test_the_check_of_synthesis_finds_the_same_copies(cohorts):
    training = [case.image for case in cohorts["training"]]
    gallery = thumbnails(training)
    fingerprint = take_fingerprint(iter(cohorts["training"]), ".png", "0" * 64)
    facts = TrainingFacts(fingerprint, gallery, copy_threshold(gallery), copy_measure=COPY_MEASURE)
    failed = {case.id for case in cohorts["synthetic"] if not_a_copy(case, facts, Limits()).outcome == "failed"}
    assert failed == {"copy", "mirror", "negative"}


def test_the_lesion_region_holds_nothing_of_the_background():
    case = textured("a", 0)
    other = replace(case, image=np.where(case.labels > 0, case.image, 7.0).astype(np.float32))
    region = lesion_region(case, {1})
    assert region is not None
    np.testing.assert_array_equal(region, lesion_region(other, {1}))
    assert region.shape == (128, 128, 1)
    assert lesion_region(case, {2}) is None
    assert lesion_region(replace(case, labels=None), {1}) is None
    small = np.zeros_like(case.labels)
    small[3:9, 3:20] = 1
    assert lesion_region(replace(case, labels=small), {1}) is None


@pytest.mark.usefixtures("numbers_only")
def test_of_organs_and_lesions_the_lesions_alone_are_lesion_regions(tmp_path):
    names = {"background": 0, "breast": 1, "mass": 2}

    def with_organ(case):
        return replace(case, labels=(1 + case.labels).astype(np.uint8), label_names=names)

    training = [with_organ(textured(f"t{n}", n)) for n in range(8)]
    new = with_organ(textured("new", 300))
    mass = new.labels == 2
    host = np.where(training[1].labels == 2, training[0].image, training[1].image)
    inserted = replace(new, image=np.where(mass, new.image, host).astype(np.float32))
    made, known = (write(tmp_path / name, cases, names) for name, cases in (("s", [inserted]), ("t", training)))
    for label, regions in ((None, set()), ("breast", {("new", "t1")})):
        found = measure_privacy(made, known, tmp_path / f"out-{label}", label=label, extractors=[])
        assert found.lesions is not None
        assert copied(found.lesions.pairs()) == regions
        assert found.facts["lesion label"] == (label or "mass")


@pytest.mark.usefixtures("numbers_only")
def test_copied_lesions_with_a_label_of_their_own_are_found(tmp_path):
    training, new = [textured(f"t{n}", n) for n in range(8)], textured("new", 300)
    names = {**NAMES, "synthetic_lesion": 2}
    copied_mass = training[1].labels == 1
    image = np.where(copied_mass, training[1].image, new.image).astype(np.float32)
    inserted = replace(new, image=image, labels=(2 * copied_mass).astype(np.uint8), label_names=names)
    made, known = write(tmp_path / "s", [inserted], names), write(tmp_path / "t", training)
    found = measure_privacy(made, known, tmp_path / "out", extractors=[])
    assert found.lesions is not None
    assert copied(found.lesions.pairs()) == {("new", "t1")}
    assert found.facts["lesion label"] == f"{next(name for name, value in NAMES.items() if value)}, synthetic_lesion"


@pytest.mark.usefixtures("numbers_only")
def test_volumes_are_searched(tmp_path):
    training = [textured(f"t{n}", n, (20, 20, 16)) for n in range(5)]
    make = {"training": training, "synthetic": [replace(training[1], id="copy"), textured("new", 9, (20, 20, 16))]}
    roots = {}
    for name, cases in make.items():
        roots[name] = Cohort.create(tmp_path / name, channel_names=("US",), label_names=NAMES, file_ending=".nii.gz")
        for case in cases:
            roots[name].write(case)
        roots[name].finish()
    found = measure_privacy(roots["synthetic"], roots["training"], tmp_path / "out", extractors=[])
    assert found.images is not None
    assert copied(found.images.pairs()) == {("copy", "t1")}
    assert found.nearness == {}


def test_refusals(cohorts, tmp_path):
    synthetic, training = cohorts["synthetic"], cohorts["training"]
    with pytest.raises(RequestError, match=r"no 'background' in every cohort; .* has mass; name one"):
        measure_privacy(synthetic, training, tmp_path, label="background")
    with pytest.raises(RequestError, match=r"no 'cyst' in every cohort; .* has mass; name one"):
        measure_privacy(synthetic, training, tmp_path, label="cyst")
    with pytest.raises(CohortError, match="3 cases; at least 4; give a larger cohort"):
        measure_privacy(synthetic, training.subset(training.ids[:3]), tmp_path)
    with pytest.raises(CohortError):
        measure_privacy(synthetic, training, training.root / "out")
    for first, second, what in ((synthetic, training, "synthetic"), (cohorts["held"], synthetic, "training")):
        with pytest.raises(CohortError, match=f"is given as the {what} cohort and as the held-out one; held-out cases"):
            measure_privacy(first, second, tmp_path, held_out=synthetic)
    (tmp_path / "privacy.json").write_text("{}")
    with pytest.raises(FileError, match="exists and is no earlier result"):
        measure_privacy(synthetic, training, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["privacy.json"]


@pytest.mark.usefixtures("numbers_only")
def test_membership_is_not_inferred_from_three_held_out_cases_or_patients(cohorts, tmp_path):
    training, synthetic = cohorts["training"], cohorts["synthetic"]
    few = write(tmp_path / "few", [textured(f"h{n}", 100 + n) for n in range(3)])
    for held_out, group, whose in ((few, None, "cases"), (cohorts["held"], "t[0-9]+|h[01]?", "patients")):
        found = measure_privacy(synthetic, training, tmp_path / whose, held_out=held_out, group=group)
        assert not found.membership
        assert all(each.authentic_held_out is not None for each in found.nearness.values())
        assert found.left_out == tuple(
            f"Membership inference by {what} was not measured: 12 training and 3 held-out {whose} "
            "(at least 4 of either kind)."
            for what in ("whole images and features", "lesion regions")
        )
