"""The evaluation end to end on small synthetic cohorts, and its HTML page."""

import json
import re
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, FileError, RequestError
from medsmith.evaluation import evaluate, summary_lines
from medsmith.evaluation.compare_cohorts import NO_SEAMS
from medsmith.evaluation.fidelity.comparison import ComparisonPlan
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.pages import evaluation_page
from medsmith.evaluation.pages.page import WARNING, Page
from medsmith.evaluation.scope import one_of_each_patient
from medsmith.formats.lock import hold_output
from medsmith.geometry import Geometry
from medsmith.viewer import write_view

PLAN = ComparisonPlan(splits=2, halvings=4)
NASTY = '<script>alert("x")</script>'


def make_cohort(root, count, seed, *, shape=(40, 40, 1), contrast=60.0, label="mass", synthetic=False, originals=()):
    """A cohort of textured pictures with one bright disc each; ``originals`` are copied in as they are."""
    cohort = Cohort.create(
        root,
        channel_names=("ultrasound",),
        label_names={"background": 0, label: 1},
        file_ending=".png" if shape[2] == 1 else ".nii.gz",
    )
    rng = np.random.default_rng(seed)
    flat = shape[2] == 1
    grid = np.indices(shape)
    for number in range(count):
        centre = [rng.uniform(0.3, 0.7) * edge for edge in shape]
        radius = rng.uniform(0.1, 0.2) * shape[0]
        axes = (0, 1) if flat else (0, 1, 2)
        inside = sum((grid[axis] - centre[axis]) ** 2 for axis in axes) <= radius**2
        texture = gaussian_filter(rng.standard_normal(shape), 1.2, axes=axes)
        image = np.clip(np.rint(100 + 40 * texture / texture.std() + contrast * inside), 0, 255)
        labels = inside.astype(np.uint8)
        if number < len(originals):
            image, labels = originals[number].image[0], originals[number].labels
        cohort.write(
            Case(
                id=f"case-{number:03d}",
                image=image.astype(np.float32)[None],
                labels=labels,
                geometry=Geometry.plain(shape) if flat else Geometry(shape, np.eye(4)),
                channel_names=("ultrasound",),
                label_names=cohort.label_names,
                stored=np.dtype(np.uint8 if flat else np.int16),
                provenance={"seed": number} if synthetic else None,
            )
        )
    cohort.finish()
    return cohort


def parts_of(cohort, root, *, image=None, labels=None):
    """The same cases with less: ids that keep their image, ids that keep their labels."""
    channels = cohort.channel_names if image is None or image else ()
    names = cohort.label_names if labels is None or labels else {"background": 0}
    out = Cohort.create(root, channel_names=channels, label_names=names, file_ending=cohort.file_ending)
    for case in cohort:
        kept = {} if image is None or case.id in image else {"image": None}
        kept |= {} if labels is None or case.id in labels else {"labels": None}
        out.write(replace(case, channel_names=channels, label_names=names, **kept))
    out.finish()
    return Cohort.open(root)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohorts")
    real = make_cohort(root / "real", 24, 0)
    return {
        "real": real,
        "alike": make_cohort(root / "alike", 16, 1, synthetic=True),
        "other": make_cohort(root / "other", 16, 2, contrast=-70.0, shape=(24, 24, 1), synthetic=True),
        "copies": make_cohort(root / "copies", 16, 3, synthetic=True, originals=list(real)[:4]),
    }


@pytest.fixture
def numbers_only(monkeypatch):
    """No page, whose figures take most of the time."""
    monkeypatch.setattr("medsmith.evaluation.compare_cohorts.evaluation_page", lambda *_: Page("", [], [], {}))


def evaluated(real, synthetic, out, **more):
    return evaluate(real, synthetic, out, plan=PLAN, extractors=[Radiomics()], **more)


@pytest.fixture(scope="module")
def alike(cohorts, tmp_path_factory):
    """A whole evaluation of the cohort of the same law, and the folder of its report, which is not to be changed."""
    out = tmp_path_factory.mktemp("evaluated") / "alike"
    return evaluated(cohorts["real"], cohorts["alike"], out, facts={"machine": NASTY}), out


@pytest.fixture(scope="module")
def other(cohorts, tmp_path_factory):
    """An evaluation of the cohort of another law, made from a training cohort, and the folder of its numbers."""
    out = tmp_path_factory.mktemp("evaluated") / "other"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medsmith.evaluation.compare_cohorts.evaluation_page", lambda *_: Page("", [], [], {}))
        return evaluated(cohorts["real"], cohorts["other"], out, training=cohorts["copies"]), out


def test_a_cohort_of_the_same_law_is_near_the_floor_and_another_is_not(alike, other):
    alike, other = alike[0], other[0]
    of_alike, of_other = (e.distances["radiomic vector"]["Fréchet distance"] for e in (alike, other))
    assert of_alike.synthetic.n == of_alike.floor.n == 12
    assert of_alike.synthetic.value < 1.5 * of_alike.floor.value
    assert of_other.synthetic.value > 3 * of_other.floor.value
    assert other.view_spec.shape == (24, 24, 1)
    assert alike.nearest_neighbors.flagged.value == 0


@pytest.mark.usefixtures("numbers_only")
def test_one_case_of_each_patient_is_compared(cohorts, tmp_path):
    real, synthetic, out = cohorts["real"], cohorts["alike"], tmp_path / "out"
    for _ in range(2):  # the same call writes the report again
        found = evaluated(real, synthetic, out, group=r"(\d)$")
    test = found.permutations["radiomic vector"]
    assert (test.real, test.synthetic) == (10, 16)
    assert found.notes[0].startswith("Of 24 real cases 10 are compared, one of each patient (--group): ")
    assert sorted(id[-1] for id in one_of_each_patient(real, r"(\d)$").ids) == [*"0123456789"]
    assert one_of_each_patient(real, None) is real
    with pytest.raises(CohortError, match="differs in real cohort, options"):
        evaluated(real, synthetic, out)
    with pytest.raises(RequestError, match="does not match 14 ids"):
        evaluated(real, synthetic, tmp_path / "other", group=r"case-00(\d)")
    with pytest.raises(CohortError, match=r"24 cases of 1 patient \(--group\); at least 8 patients, as one case"):
        evaluated(real, synthetic, tmp_path / "other", group=r"(\d)\d\d$")
    with pytest.raises(CohortError, match="6 cases; at least 8"):
        evaluated(real.subset(real.ids[:6]), synthetic, tmp_path / "other", group=r"-(\d+)$")


@pytest.mark.usefixtures("numbers_only")
def test_copies_are_counted_and_shown_first(cohorts, tmp_path):
    viewer = write_view(cohorts["copies"], count=1).page
    evaluation = evaluated(cohorts["real"], cohorts["copies"], tmp_path)
    found = evaluation.nearest_neighbors
    links = re.findall('<a href="([^"]*)">([^<]*)</a>', (tmp_path / "evaluation.html").read_text())
    assert [((tmp_path / address).resolve(), text) for address, text in links] == [
        (viewer.resolve(), "Look at the synthetic cases in their viewer")
    ]
    assert found.flagged.value == 4 / 16
    assert sorted(found.worst[:4]) == [0, 1, 2, 3]
    assert list(found.index[:4]) == [0, 1, 2, 3]
    assert found.exact == [0, 1, 2, 3]
    said = next(line for line in summary_lines(evaluation) if "more similar" in line)
    assert " 4 are exact copies (similarity 1.000), which chance does not explain." in said


@pytest.mark.usefixtures("numbers_only")
def test_the_copy_check_looks_at_the_training_cohort(cohorts, tmp_path):
    found = evaluated(cohorts["alike"], cohorts["copies"], tmp_path, training=cohorts["real"]).nearest_neighbors
    assert found.flagged.value == 4 / 16
    assert found.held_out is not None
    assert found.held_out.value == 0


def test_masks_of_one_law_are_not_told_apart_and_every_test_is_in_the_record(alike):
    comparison = alike[0].masks["mass"]
    assert all(each.corrected > 0.05 for each in comparison.tests.values())
    (line,) = (line for line in summary_lines(alike[0]) if line.startswith("Masks of mass"))
    assert line.startswith(
        "Masks of mass: at this sample size (24 real and 16 synthetic cases that have it) no measure"
    )
    found = json.loads((alike[1] / "evaluation.json").read_text())["masks"]["mass"]
    assert found["share_permutation_test"]["p"] == 1
    for name, measure in comparison.measures.items():
        assert found["measures"][name]["permutation_test"]["p_holm"] == measure.test.corrected
    assert found["measures"]["components"]["permutation_test"]["n_synthetic"] == 16


def test_the_summary_names_what_was_compared_and_where_measures_disagree(alike, other):
    alike, other = alike[0], other[0]
    copies = [next(line for line in summary_lines(found) if "more similar" in line) for found in (alike, other)]
    assert "to a real case than the threshold of 0.50 (the 99th percentile of 24 other real cases" in copies[0]
    assert "needs its training cohort (--training)" in copies[0]
    assert "to a training case than the threshold of 0.50 (the 99th percentile of 20 held-out real cases" in copies[1]
    assert "--training" not in copies[1]
    first = next(iter(alike.distances[Radiomics.name].values()))
    assert f"{Radiomics.name}: Fréchet distance {first.synthetic}, floor {first.floor}" in repr(alike)
    assert len(repr(alike)) < 400
    assert alike.permutations[Radiomics.name].corrected > 0.05 >= other.permutations[Radiomics.name].corrected
    assert not any("disagree" in line for found in (alike, other) for line in summary_lines(found))


def test_equal_inputs_give_equal_bytes_and_the_numbers_are_in_both_files(cohorts, alike, other, tmp_path):
    first, second = alike[1], shutil.copytree(alike[1], tmp_path / "second")
    (second / "evaluation.html").write_text(WARNING)  # the same call writes its report again
    evaluated(cohorts["real"], cohorts["alike"], second, facts={"machine": NASTY})
    for name in ("evaluation.json", "evaluation.html"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (second / name).read_bytes() != (other[1] / name).read_bytes()
    found = json.loads((first / "evaluation.json").read_text())
    assert found["warning"] == WARNING
    assert found["extractors"] == {"radiomic vector": "definition 1"}
    frechet = found["distances"]["radiomic vector"]["Fréchet distance"]
    assert set(frechet) == {"synthetic", "floor", "excess", "whole"}
    assert frechet["synthetic"]["low"] <= frechet["synthetic"]["value"] <= frechet["synthetic"]["high"]
    page = (first / "evaluation.html").read_text()
    assert f"{frechet['synthetic']['value']:.3g}" in page
    assert cohorts["real"].content_hash() in page
    assert "pip install --no-deps" in page


def test_distances_of_other_numbers_of_cases_stand_in_a_table_of_their_own(alike):
    tables = re.findall("<table>.*?</table>", (alike[1] / "evaluation.html").read_text(), re.DOTALL)
    rows = [re.findall("<td>Fréchet distance</td>(.*?)</tr>", table, re.DOTALL) for table in tables]
    numbers = [re.findall(r"<td>(\d+)</td>", cells) for of_table in rows for cells in of_table]
    assert numbers == [["12"], ["16"]] * 3
    heads = ["".join(re.findall("<th>(.*?)</th>", table)) for table, found in zip(tables, rows, strict=True) if found]
    assert [("floor" in head, "all cases" in head) for head in heads] == [(True, False), (False, True)] * 3


def test_the_page_asks_nobody_and_says_what_it_is(alike):
    page = (alike[1] / "evaluation.html").read_text()
    assert WARNING in page
    assert NASTY not in page
    assert "&lt;script&gt;" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in page
    assert page.count('<i style="background: #e69f00"></i>mass<') == 3  # the legend of each sheet


def test_volumes_are_evaluated_too(tmp_path):
    real = make_cohort(tmp_path / "real", 10, 0, shape=(20, 20, 16))
    synthetic = make_cohort(tmp_path / "synthetic", 6, 1, shape=(16, 16, 16), synthetic=True)
    found = evaluated(real, synthetic, tmp_path / "out")
    assert found.view_spec.shape == (16, 16, 16)
    assert found.view_spec.unit == "mm"
    assert found.nearest_neighbors.flagged.n == 6
    assert "center, first to last slice (%)" in found.masks["mass"].measures


def cohort_with_corner(root, count, seed, shape, ending):
    """Noise with a bright labeled corner where x and y are largest: in a scan, the patient's right and front."""
    cohort = Cohort.create(root, channel_names=("MR",), label_names={"background": 0, "mass": 1}, file_ending=ending)
    rng = np.random.default_rng(seed)
    for number in range(count):
        image, labels = rng.integers(0, 60, shape).astype(np.float32), np.zeros(shape, np.uint8)
        image[14:18, 14:18], labels[14:18, 14:18] = 250, 1
        geometry = Geometry.plain(shape) if ending == ".png" else Geometry(shape, np.eye(4))
        stored = np.dtype(np.uint8 if ending == ".png" else np.int16)
        cohort.write(Case(f"c{number}", image[None], labels, geometry, ("MR",), cohort.label_names, stored))
    cohort.finish()
    return cohort


@pytest.mark.parametrize(
    ("shape", "ending", "corner"),
    [((20, 20, 1), ".nii.gz", (0.2, 0.2)), ((20, 20, 16), ".nii.gz", (0.2, 0.2)), ((20, 20, 1), ".png", (0.8, 0.8))],
)
def test_every_picture_of_a_scan_has_the_right_on_the_left_and_the_front_at_the_top(
    shape, ending, corner, tmp_path, monkeypatch
):
    sheets = []

    def record(rows):
        sheets.append(rows)
        return b""

    monkeypatch.setattr(evaluation_page, "contact_sheet", record)
    for name in ("against_floor", "histograms", "histogram_with_limit"):
        monkeypatch.setattr(evaluation_page, name, lambda *_: b"")
    real, synthetic = (cohort_with_corner(tmp_path / f"c{seed}", 8 - 4 * seed, seed, shape, ending) for seed in (0, 1))
    evaluated(real, synthetic, tmp_path / "out")
    assert len(sheets) == 3  # real cases, synthetic cases, the most similar pairs
    for tile in (tile for rows in sheets for row in rows for tile in row):
        for found in (tile.labels > 0, tile.image > 150):
            center = (np.argwhere(found).mean(0) + 0.5) / found.shape
            assert center == pytest.approx(corner, abs=0.05)


@pytest.mark.usefixtures("numbers_only")
def test_a_label_that_is_never_drawn_is_reported_as_absent(tmp_path, cohorts):
    empty = make_cohort(tmp_path / "empty", 6, 0, contrast=0.0, synthetic=True)
    for number in range(6):
        case = empty[f"case-{number:03d}"]
        blank = Case(**{**vars(case), "labels": np.zeros_like(case.labels)})
        Cohort.create(
            empty.root, channel_names=("ultrasound",), label_names=empty.label_names, file_ending=".png"
        ).write(blank)
    found = evaluated(cohorts["real"], Cohort.open(empty.root), tmp_path / "out").masks["mass"]
    assert found.synthetic.value == 0
    assert found.measures == {}


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.html"])
def test_a_file_of_others_is_not_overwritten(cohorts, tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(
        FileError, match=f"{name}: exists and is no earlier result; nothing is overwritten; choose anot"
    ):
        evaluated(cohorts["real"], cohorts["alike"], tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "{}")]


def test_a_report_of_other_inputs_or_options_is_not_replaced(cohorts, other):
    out = other[1]
    before = {path: path.read_bytes() for path in out.iterdir()}
    calls: tuple[tuple[str, Cohort, dict[str, Any]], ...] = (
        ("synthetic cohort, training cohort", cohorts["alike"], {}),
        ("training cohort", cohorts["other"], {}),
        ("options", cohorts["other"], {"training": cohorts["copies"], "size": 32}),
    )
    for differs, synthetic, more in calls:
        found = rf"holds a report of other inputs or options \(evaluation.json differs in {differs}\); one folder"
        with pytest.raises(CohortError, match=f"{found}, one report; choose a new folder"):
            evaluated(cohorts["real"], synthetic, out, **more)
    (alone := out.with_name("all")).mkdir()
    (alone / "evaluation.json").write_text(json.dumps({"warning": WARNING, "evaluation": {"facts": {}}}))
    with pytest.raises(CohortError, match=r"holds a report of another kind \(evaluation.json\)"):
        evaluated(cohorts["real"], cohorts["other"], alone)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_one_process_writes_a_report(cohorts, tmp_path):
    with hold_output(tmp_path), pytest.raises(CohortError, match="another process is writing here"):
        evaluated(cohorts["real"], cohorts["alike"], tmp_path)


def test_too_few_cases_are_refused_by_name(cohorts, tmp_path):
    with pytest.raises(CohortError, match="3 cases; at least 8"):
        evaluated(cohorts["real"].subset(cohorts["real"].ids[:3]), cohorts["alike"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_parts_tests_and_diversity_are_reported(other):
    found, out = other
    names = [f"{Radiomics.name}{part}" for part in ("", ", whole image", ", inside the labels")]
    assert list(found.distances) == list(found.permutations) == names
    assert all(test.p <= 0.01 for test in found.permutations.values())
    assert [(name, of_pairs.real.n) for name, of_pairs in found.diversity.items()] == [("MS-SSIM", 16), ("SSIM", 16)]
    measured = json.loads((out / "evaluation.json").read_text())["measured"]
    assert len(measured) == 3 * 5
    assert {(row["n"], row["identity"], row["preprocessing"]) for row in measured} == {
        (12, "definition 1", found.view_spec.description)
    }
    assert found.left_out == (NO_SEAMS,)


@pytest.mark.usefixtures("numbers_only")
def test_a_painted_box_that_differs_has_a_seam(cohorts, tmp_path):
    painted = Cohort.create(
        tmp_path / "painted",
        channel_names=("ultrasound",),
        label_names=cohorts["real"].label_names,
        file_ending=".png",
    )
    rng = np.random.default_rng(0)
    for case in cohorts["real"].subset(cohorts["real"].ids[:8]):
        image, labels = case.image.copy(), np.zeros_like(case.labels)
        image[0, 12:28, 12:28, 0] = rng.integers(0, 255, (16, 16))
        provenance = {"template": case.id, "lesions": [{"box": [[15, 15, 0], [25, 25, 1]]}]}
        painted.write(replace(case, id=f"made-{case.id}", image=image, labels=labels, provenance=provenance))
    painted.finish()
    found = evaluated(cohorts["real"], painted, tmp_path / "out")
    assert found.seams.n == 4
    assert found.seams.low > 0.6
    assert found.left_out == ()
    assert any(line.startswith("Seams: a classifier") and "have seams" in line for line in summary_lines(found))


def test_labels_alone_are_compared_by_their_masks(cohorts, alike, tmp_path):
    real, made = (parts_of(cohorts[name], tmp_path / name, image=()) for name in ("real", "alike"))
    found = evaluated(real, made, tmp_path / "out")
    assert (found.distances, found.nearest_neighbors) == ({}, None)
    assert {name: label.as_json() for name, label in found.masks.items()} == {
        name: label.as_json() for name, label in alike[0].masks.items()
    }
    assert found.left_out == ("Images were not compared: 0 of 24 real and 0 of 16 synthetic cases have an image.",)
    assert "Labels alone" in (tmp_path / "out" / "evaluation.html").read_text()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["nearest_neighbors"] is None


def test_images_alone_are_compared_without_masks(cohorts, tmp_path):
    real, copies = (parts_of(cohorts[name], tmp_path / name, labels=()) for name in ("real", "copies"))
    found = evaluated(real, copies, tmp_path / "out")
    assert found.masks == {}
    assert found.nearest_neighbors.flagged.value == 4 / 16
    assert found.left_out == (
        "Masks were not compared: 0 of 24 real and 0 of 16 synthetic cases have labels.",
        NO_SEAMS,
    )
    assert "Masks were not compared" in (tmp_path / "out" / "evaluation.html").read_text()


@pytest.mark.usefixtures("numbers_only")
def test_of_mixed_cohorts_each_side_is_compared_where_it_is(cohorts, tmp_path):
    ids = cohorts["real"].ids
    real = parts_of(cohorts["real"], tmp_path / "real", image=ids[:20], labels=ids[10:])
    found = evaluated(real, cohorts["alike"], tmp_path / "out")
    assert found.masks["mass"].real.n == 14
    assert found.distances[Radiomics.name]["density"].whole.n == 16
    assert found.left_out[0].startswith("Images were compared where present: 20 of 24 real")
    blind = evaluated(
        parts_of(cohorts["real"].subset(ids[:20]), tmp_path / "blind", labels=()),
        parts_of(cohorts["alike"], tmp_path / "alike", labels=()),
        tmp_path / "out2",
    )
    assert blind.distances[Radiomics.name]["density"] == found.distances[Radiomics.name]["density"]


def test_cohorts_that_share_no_side_are_refused(cohorts, tmp_path):
    real = parts_of(cohorts["real"], tmp_path / "real", image=())
    alike = parts_of(cohorts["alike"], tmp_path / "alike", labels=())
    with pytest.raises(CohortError, match="images in 0 and 16, labels in 24 and 0 cases"):
        evaluated(real, alike, tmp_path / "out")
    assert not (tmp_path / "out").exists()
