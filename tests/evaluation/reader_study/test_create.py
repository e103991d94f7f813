"""Creating a study: what the page gives away, what the images go through, what is refused."""

import base64
import math
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, MedsmithError, RequestError
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.pages.page import WARNING
from medsmith.evaluation.reader_study import StudyPlan, create, create_study
from medsmith.evaluation.reader_study.grid import common_grid
from medsmith.evaluation.reader_study.key import read_key
from medsmith.evaluation.reader_study.observer import NaiveObserver, naive_observer
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC, Mode
from medsmith.evaluation.reader_study.selection import ShownCase
from medsmith.evaluation.reader_study.study_page import pack
from medsmith.evaluation.reader_study.trials import order_trials
from medsmith.evaluation.reader_study.windows import parse_windows
from medsmith.formats import atomic
from medsmith.geometry import Geometry
from readings import data_of, picture_cohort, scan_cohort, unpack

PLAN = StudyPlan(count=8, learning=2)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohorts")
    return picture_cohort(root / "real", 16, 1), picture_cohort(root / "synthetic", 14, 2, prefix="made")


@pytest.fixture(scope="module")
def study(cohorts, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return create_study(cohorts[0], cohorts[1], out, PLAN), out


def test_the_page_asks_nobody_and_gives_nothing_away(study):
    created, out = study
    page = (out / "study.html").read_text()
    data = data_of(out / "study.html")
    assert WARNING in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["']|https?://|@import|url\(""", page)
    for trial in created.key.sealed["trials"]:
        for case in trial["cases"]:
            assert case["id"] not in page
    assert created.key.salt not in page
    assert set(data) == {
        "format", "study", "key_hash", "mode", "margin", "shape", "windows", "trials", "learning", "images",
    }  # fmt: skip
    assert len({len(image) for image in data["images"]}) == 1


def test_the_order_of_the_images_is_no_cue(study):
    created, out = study
    kinds = {}
    for numbers, trial in zip(data_of(out / "study.html")["trials"], created.trials, strict=True):
        kinds[numbers[0]] = trial.answer
    stored = [kinds[number] for number in sorted(kinds)]
    assert stored not in (sorted(stored), sorted(stored, reverse=True))
    shown = [trial.answer for trial in created.trials if trial.repeat_of is None]
    assert shown not in (sorted(shown), sorted(shown, reverse=True))
    assert shown.count(REAL) == shown.count(SYNTHETIC) == 8


def test_the_images_in_the_page_are_those_of_the_cases_without_loss(study, cohorts):
    created, out = study
    data = data_of(out / "study.html")
    of = {REAL: cohorts[0], SYNTHETIC: cohorts[1]}
    lowest = created.presentation.lowest
    for numbers, trial in zip(data["trials"], created.trials, strict=True):
        case = of[trial.cases[0].kind][trial.cases[0].id].image[0, :, :, 0].T
        shown = unpack(data["images"][numbers[0]], data["shape"])[0] + lowest
        assert np.array_equal(shown, np.clip(case, lowest, created.presentation.highest))


def test_learning_images_are_not_shown_again(study):
    _, out = study
    data = data_of(out / "study.html")
    learned = {number for trial in data["learning"] for number in trial["images"]}
    assert len(learned) == 4
    assert not learned & {number for trial in data["trials"] for number in trial}
    assert sorted(trial["answer"] for trial in data["learning"]) == [REAL] * 2 + [SYNTHETIC] * 2


def test_equal_inputs_give_equal_bytes_and_another_seed_another_order(cohorts, study, tmp_path):
    _, out = study
    create_study(cohorts[0], cohorts[1], tmp_path / "again", PLAN)
    other = create_study(cohorts[0], cohorts[1], tmp_path / "other", replace(PLAN, seed=1))
    for name in ("study.html", "key.json"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert other.key.answers != study[0].key.answers


def test_the_seed_alone_does_not_tell_the_order(cohorts, study, tmp_path):
    """Whoever has the page and knows the seed lacks the content of the cohorts."""
    more = picture_cohort(tmp_path / "more", 16, 7)
    other = create_study(more, cohorts[1], tmp_path / "study", PLAN)
    assert other.key.answers != study[0].key.answers
    assert other.key.salt != study[0].key.salt


def test_a_key_fits_its_page_and_a_changed_one_is_refused(study, tmp_path):
    created, out = study
    key = read_key(out / "key.json")
    assert key.hash == created.key.hash == data_of(out / "study.html")["key_hash"]
    text = (out / "key.json").read_text()
    (tmp_path / "key.json").write_text(text.replace('"answer": "real"', '"answer": "synthetic"', 1))
    with pytest.raises(MedsmithError, match="changed after it was written"):
        read_key(tmp_path / "key.json")


def test_another_study_is_not_overwritten(cohorts, study):
    _, out = study
    before = (out / "key.json").read_bytes()
    with pytest.raises(CohortError, match="holds another study; choose a new folder"):
        create_study(cohorts[0], cohorts[1], out, replace(PLAN, seed=5))
    assert (out / "key.json").read_bytes() == before


def test_another_page_beside_the_key_is_not_overwritten(cohorts, tmp_path):
    create_study(cohorts[0], cohorts[1], tmp_path / "out", PLAN)
    page = tmp_path / "out" / "study.html"
    own = page.read_bytes()
    create_study(cohorts[0], cohorts[1], tmp_path / "out", PLAN)
    assert page.read_bytes() == own
    page.write_text("notes of mine")
    with pytest.raises(CohortError, match=r"holds another study\.html than that of this study; files are"):
        create_study(cohorts[0], cohorts[1], tmp_path / "out", PLAN)
    assert page.read_text() == "notes of mine"


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (StudyPlan(count=15), "14 cases with an image; 15 are to be shown; give a larger cohort or pass --count 14"),
        (StudyPlan(count=13, learning=2), "besides the patients of 2 to learn from; 13 are to be shown"),
        (StudyPlan(channel="CT"), "--channel: 'CT'; one of ultrasound"),
        (StudyPlan(group="("), "is no regular expression"),
    ],
)
def test_what_the_cohorts_cannot_give_is_refused(cohorts, tmp_path, plan, said):
    with pytest.raises(MedsmithError, match=re.escape(said)):
        create_study(cohorts[0], cohorts[1], tmp_path / "out", plan)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "numbers",
    [
        {"count": 4},
        {"repeats": 1.5},
        {"margin": 0.5},
        {"margin": 0.0},
        {"margin": 1e-155},
        {"margin": math.nan},
        {"learning": -1},
    ],
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(RequestError):
        StudyPlan(**numbers)


def test_cohorts_that_share_an_image_are_refused(cohorts, tmp_path):
    real, _ = cohorts
    with pytest.raises(CohortError, match="the images of 16 cases are also in the real cohort"):
        create_study(real, real, tmp_path / "out", PLAN)
    copied = picture_cohort(tmp_path / "copied", 8, 3)
    for case in real.subset(real.ids[:8]):  # the same pixels in a file that differs by its mark
        copied.write(replace(case, id=f"copy-{case.id}", provenance={"seed": 0}))
    copied.finish()
    with pytest.raises(CohortError, match="are also in the real cohort"):
        create_study(real, copied, tmp_path / "out", StudyPlan(count=16))


def test_cohorts_of_other_kinds_are_refused(cohorts, tmp_path):
    scans = scan_cohort(tmp_path / "scans", 6, 0)
    with pytest.raises(CohortError, match="channels CT; the real cohort has channels ultrasound"):
        create_study(cohorts[0], scans, tmp_path / "out", PLAN)
    flat = scan_cohort(tmp_path / "flat", 6, 0, shape=(40, 40, 1))
    with pytest.raises(CohortError, match="2-D, while the real cohort is 3-D"):
        create_study(scans, flat, tmp_path / "out", StudyPlan(count=5))


def test_coarse_gray_steps_are_hidden_in_both_kinds(cohorts, tmp_path):
    coarse = picture_cohort(tmp_path / "coarse", 12, 4, step=8)
    created = create_study(cohorts[0], coarse, tmp_path / "out", StudyPlan(count=8))
    assert created.presentation.dither == 8
    stacks = created.presentation.stacks
    used = [np.unique(np.concatenate([stack.ravel() for stack in part])) for part in (stacks[:8], stacks[8:])]
    middle = [levels[(levels > 60) & (levels < 180)] for levels in used]
    assert np.array_equal(middle[0], middle[1])
    assert len(middle[0]) == 119


def test_a_clipped_synthetic_cohort_clips_the_real_one_too(tmp_path):
    real = scan_cohort(tmp_path / "real", 5, 0, highest=1400)
    synthetic = scan_cohort(tmp_path / "synthetic", 5, 1, highest=1000, hu_step=4)
    created = create_study(real, synthetic, tmp_path / "out", StudyPlan(count=5, slices=3))
    assert created.presentation.highest == 1000
    assert created.presentation.dither == 4
    assert created.presentation.lowest == -1024
    tops = [int(stack.max()) + created.presentation.lowest for stack in created.presentation.stacks]
    assert set(tops) == {1000}
    assert created.presentation.stacks[0].shape == (3, 40, 40)
    names = [window["name"] for window in data_of(tmp_path / "out" / "study.html")["windows"]]
    assert names == ["Lung", "Bone", "Soft tissue"]


def test_hounsfield_units_are_windowed_whatever_the_channel_is_called(tmp_path):
    plan = StudyPlan(count=5, slices=3)
    scans = partial(scan_cohort, channel="gray", highest=900)
    real = scans(tmp_path / "real", 5, 0)
    created = create_study(real, scans(tmp_path / "synthetic", 5, 1), tmp_path / "out", plan)
    assert created.presentation.hounsfield
    assert [window.name for window in created.presentation.windows] == ["Lung", "Bone", "Soft tissue"]
    assert created.presentation.facts["gray levels"].endswith("HU, whole numbers")
    # Without air in one of them nobody knows; that CT windows are not used is said.
    bare = scans(tmp_path / "bare", 5, 1, least=-400)
    mixed = create_study(real, bare, tmp_path / "mixed", plan)
    assert not mixed.presentation.hounsfield
    said = next(line for line in mixed.lines if line.startswith("windows: Full range"))
    assert said.endswith("; no windows of CT, since only the real images have values below -500")


def test_volumes_are_displayed_as_radiologists_are_used_to(tmp_path):
    real = scan_cohort(tmp_path / "real", 5, 0, gradient=True)
    synthetic = scan_cohort(tmp_path / "synthetic", 5, 1, gradient=True)
    stack = create_study(real, synthetic, tmp_path / "out", StudyPlan(count=5)).presentation.stacks[0][0]
    # x < 0 is the patient's left (canonical x runs to the right), y > 0 is the front: upper right of the picture.
    corners = {"upper right": stack[:4, -4:], "upper left": stack[:4, :4], "lower right": stack[-4:, -4:]}
    assert max(corners, key=lambda name: corners[name].mean()) == "upper right"


def test_images_on_one_grid_are_not_resampled_and_others_all_are():
    square, larger = Geometry.plain((64, 64, 1)), Geometry.plain((256, 200, 1))
    assert common_grid([square, square], StudyPlan()).shape == (64, 64, 1)
    mixed = common_grid([square, larger], StudyPlan())
    assert mixed.resampled
    assert mixed.shape == (51, 51, 1)  # smaller than every image, so that none keeps its pixels
    scans = [Geometry((128, 128, 40), np.diag([s, s, z, 1.0])) for s, z in ((0.8, 1.0), (1.0, 5.0))]
    grid = common_grid(scans, StudyPlan(slices=4))
    assert grid.extent == pytest.approx((102.4, 102.4, 20.0))
    assert grid.shape[2] == 4
    image = np.ones((128, 128, 40), np.float32)
    assert grid.crop(image, scans[0], 39).shape == grid.shape


def test_images_that_are_too_small_are_refused():
    with pytest.raises(CohortError, match="at least 32 x 32"):
        common_grid([Geometry.plain((24, 24, 1))] * 2, StudyPlan())


CASES = [ShownCase(kind, f"{kind}-{i}", f"{kind}-{i}") for kind in (REAL, SYNTHETIC) for i in range(20)]


@given(st.integers(0, 10**6), st.integers(5, 20), st.sampled_from(list(Mode)), st.sampled_from([0.0, 0.1, 0.3]))
def test_every_case_is_shown_once_and_repeats_are_far_away(seed, count, mode, repeats):
    cases = CASES[:count] + CASES[20 : 20 + count]
    trials = order_trials(cases, mode, repeats, np.random.default_rng(seed))
    first = [trial for trial in trials if trial.repeat_of is None]
    assert sorted(c.id for trial in first for c in trial.cases) == sorted(c.id for c in cases)
    again = [(place, t.repeat_of, t.cases) for place, t in enumerate(trials) if t.repeat_of is not None]
    assert len(again) == min(np.ceil(repeats * len(first)), len(first) - 3)
    assert len({earlier for _, earlier, _ in again}) == len(again)
    for place, earlier, shown in again:
        assert place - earlier >= 3
        assert shown == trials[earlier].cases[::-1]
    if mode is Mode.PAIRS:
        assert abs(2 * sum(trial.answer == "left" for trial in first) - count) <= 1


def test_one_of_every_patient_is_shown_before_a_second(cohorts, tmp_path):
    real = picture_cohort(tmp_path / "real", 12, 9)
    plan = StudyPlan(count=5, learning=1, group=r"-(\d\d)")  # ten slices of the first patient, two of the second
    with pytest.raises(CohortError, match="besides the patients of 1"):
        create_study(real, cohorts[1], tmp_path / "out", plan)
    created = create_study(real, cohorts[1], tmp_path / "out", replace(plan, learning=0))
    patients = {c["patient"] for t in created.key.sealed["trials"] for c in t["cases"] if c["kind"] == REAL}
    assert patients == {"00", "01"}


def test_the_naive_observer_sees_noise_and_guesses_where_there_is_nothing_to_see():
    rng = np.random.default_rng(0)
    cases = [ShownCase(kind, f"{kind}-{i}", f"{kind}-{i}") for kind in (REAL, SYNTHETIC) for i in range(40)]
    alike = rng.integers(0, 255, (80, 1, 32, 32)).astype(np.uint16)
    noisy = alike.copy()
    noisy[40:] = noisy[40:] // 2 + 60
    guess, seen = (naive_observer(list(stacks), cases, np.random.default_rng(1)) for stacks in (alike, noisy))
    assert guess.auc.low < 0.5 < guess.auc.high
    assert seen.auc.value > 0.95
    assert (seen.trained, seen.tested) == ((20, 20), (20, 20))
    assert guess.warning == ""
    assert seen.line.endswith("of other patients; simple image statistics alone tell the two kinds apart")


@pytest.mark.parametrize(("trained", "tested"), [((2, 3), (30, 30)), ((30, 30), (20, 19)), ((2, 3), (2, 2))])
def test_the_naive_observer_of_few_images_says_that_it_may_overlook_something(trained, tested):
    said = "; with fewer than 20 images of a kind to learn from or to be tested on, it may overlook what tells the two "
    said += "kinds apart"
    unclear, clear = Estimate(0.6, 0.4, 0.8, 5, "DeLong"), Estimate(0.9, 0.51, 1, 5, "DeLong")
    observer = NaiveObserver(unclear, trained, tested, ())
    assert observer.line.endswith(said)
    assert observer.as_json()["warning"] == said
    assert "simple image statistics" in NaiveObserver(clear, trained, tested, ()).warning


def test_the_naive_observer_keeps_the_images_of_a_patient_together():
    cases = [ShownCase(kind, f"{kind}-{i}", f"{kind}-{i // 4}") for kind in (REAL, SYNTHETIC) for i in range(16)]
    # The patient alone decides the picture: whoever has seen him knows the kind, which is random.
    rng = np.random.default_rng(0)
    texture = {patient: rng.integers(0, 255, (1, 32, 32)) for patient in sorted({case.patient for case in cases})}
    stacks = [texture[case.patient].astype(np.uint16) for case in cases]
    found = naive_observer(stacks, cases, np.random.default_rng(2))
    assert (found.trained, found.tested) == ((8, 8), (8, 8))
    assert found.auc.value < 1


@pytest.mark.parametrize("seed", range(6))
def test_the_naive_observer_is_tested_on_somebody_however_few_there_are(seed):
    sizes = (9, 1)  # one patient has nearly all images
    owners = [patient for patient, count in enumerate(sizes) for _ in range(count)]
    cases = [ShownCase(kind, f"{kind}-{i}", str(owner)) for kind in (REAL, SYNTHETIC) for i, owner in enumerate(owners)]
    stacks = list(np.random.default_rng(seed).integers(0, 255, (20, 1, 32, 32)).astype(np.uint16))
    found = naive_observer(stacks, cases, np.random.default_rng(seed))
    assert all(trained + tested == 10 for trained, tested in zip(found.trained, found.tested, strict=True))
    assert min(*found.trained, *found.tested) >= 1
    assert 0 <= found.auc.low <= found.auc.value <= found.auc.high <= 1


def test_cases_of_one_patient_are_refused(cohorts, tmp_path, capsys):
    arguments = ["turing", *(str(cohort.root) for cohort in cohorts), str(tmp_path / "out")]
    for pattern, root, patient in (("case", cohorts[0].root, "case"), ("-0", cohorts[0].root, "-0")):
        assert main([*arguments, "--group", pattern]) == 2
        said = f"{root}: --group {pattern!r} makes the 14 cases to show one patient, {patient!r}; at least 2: "
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(said)
    assert not (tmp_path / "out").exists()


def test_a_study_lies_in_none_of_its_cohorts(cohorts):
    for cohort in cohorts:
        before = sorted(path.name for path in cohort.root.iterdir())
        for out in (cohort.root, cohort.root / "imagesTr" / "study"):
            with pytest.raises(CohortError, match=f"lies in or on {cohort.root}; nothing is written into what is read"):
                create_study(cohorts[0], cohorts[1], out, PLAN)
        assert sorted(path.name for path in cohort.root.iterdir()) == before


def test_half_a_key_of_a_killed_call_is_removed_and_another_study_s_key_stays(study, cohorts, tmp_path):
    created, out = study
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".medsmith-0123456789abcdef.json").write_bytes((out / "key.json").read_bytes())
    create_study(cohorts[0], cohorts[1], tmp_path / "a", PLAN)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["key.json", "study.html"]
    stray = out / ".medsmith-0123456789abcdef.json"
    stray.write_text("another call's")
    with pytest.raises(CohortError, match="holds another study; choose a new folder"):
        create_study(cohorts[0], cohorts[1], out, replace(PLAN, seed=1))
    assert read_key(out / "key.json").hash == created.key.hash
    assert stray.exists()  # nothing is tidied in a folder that is not this study's
    stray.unlink()


def test_two_studies_at_once_do_not_mix(cohorts, tmp_path, monkeypatch):
    write, refused = atomic.write_bytes, []

    def write_and_call_again(path, data):
        monkeypatch.setattr(create, "write_bytes", write)
        with pytest.raises(CohortError) as refusal:
            create_study(cohorts[0], cohorts[1], tmp_path / "out", replace(PLAN, seed=1))
        refused.append(refusal.value.line)
        write(path, data)

    monkeypatch.setattr(create, "write_bytes", write_and_call_again)
    created = create_study(cohorts[0], cohorts[1], tmp_path / "out", PLAN)
    assert refused == [f"{tmp_path / 'out'}: another process is writing here; one at a time; wait for it"]
    assert read_key(tmp_path / "out" / "key.json").hash == data_of(tmp_path / "out" / "study.html")["key_hash"]
    assert read_key(tmp_path / "out" / "key.json").hash == created.key.hash


def test_windows_are_read_and_wrong_ones_refused():
    assert [w.name for w in parse_windows("soft,lung")] == ["Soft tissue", "Lung"]
    brain = parse_windows("brain=40/80")[0]
    assert (brain.low, brain.high) == (0, 80)
    for text in ("liver", "lung,lung", "x=40/0", ""):
        with pytest.raises(RequestError, match="--windows"):
            parse_windows(text)


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_packing_loses_nothing(seed, slices, rows, columns):
    stack = np.random.default_rng(seed).integers(0, 2**16, (slices, rows, columns)).astype(np.uint16)
    assert np.array_equal(unpack(base64.b64encode(pack(stack)).decode(), list(stack.shape)), stack)


def test_the_command_says_what_it_made(cohorts, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["turing", str(cohorts[0].root), str(cohorts[1].root), str(tmp_path / "out"), "--count", "6"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "6 real and 6 synthetic images in 12 trials, 2 repeats" in said
    assert "equivalence margin of the AUC .5 +- 0.1: 288 independent decisions for 80 % power; readers of the" in said
    assert "plan for more than 24 readers" in said
    assert "naive observer: AUC" in said
    assert "of other patients; with fewer than 20 images of a kind to learn from or" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["key.json", "study.html"]
    assert main(["turing", str(cohorts[0].root), str(cohorts[1].root), "x", "--mode", "triples"]) == 2
    assert "--mode: 'triples'; single or pairs; choose one" in capsys.readouterr().err
    assert len(Cohort.open(cohorts[0].root)) == 16
