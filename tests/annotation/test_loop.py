import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from annotation_slices import GENERATOR, QUICK, slice_of, write_slices
from medsmith.anatomy import ShapeSpace, drawing
from medsmith.annotation import annotate, labeler, loop, turn
from medsmith.annotation.inputs import check_contents, check_run, open_inputs
from medsmith.annotation.labeler import read_labeler
from medsmith.annotation.picture import _draw_slice
from medsmith.annotation.records import ControlRecord, TurnRecord
from medsmith.cases.cohort import Cohort
from medsmith.cases.views import images_alone
from medsmith.cli import main
from medsmith.errors import CohortError, GeometryError, RequestError, RunError
from medsmith.evaluation.downstream import loaded_cohort, segmenter
from medsmith.evaluation.downstream.loaded_cohort import hash_of
from medsmith.formats import atomic
from medsmith.geometry import Geometry
from medsmith.progress import NullProgress
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis import SynthesisOptions
from medsmith.training import Budget, train
from narrowing import present
from synthesis_fakes import NOISE_PASSES, InProcessExecutor

IN_PROCESS = SynthesisOptions(executor=InProcessExecutor, limits=NOISE_PASSES)
TIMES = {"seconds.json", "annotate.json", "annotate.png", "log.txt"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("annotation")
    write_slices(root / "labeled", range(3))
    write_slices(root / "unlabeled", range(10, 12), labeled=False)
    write_slices(root / "withheld", range(20, 22))
    return root


@pytest.fixture(scope="module")
def run(root):
    images = Cohort.open(root / "unlabeled")
    return train("mddpm", images, root / "run", settings=GENERATOR)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Leaves out what takes time and is tested elsewhere: many draws for the rejection rate."""
    patch = pytest.MonkeyPatch()
    patch.setattr(drawing, "_MEASURED_DRAWS", 10)
    yield
    patch.undo()


@pytest.fixture
def no_picture(monkeypatch):
    monkeypatch.setattr(loop, "draw_picture", lambda *_: b"")


def go(root, out, *, options=QUICK, lines=None, **named):
    arguments = {"withheld": root / "withheld", "unlabeled": root / "unlabeled"} | named
    report = None if lines is None else lines.append
    return annotate(
        arguments.pop("labeled", root / "labeled"),
        arguments.pop("unlabeled"),
        out,
        options=options,
        synthesis=IN_PROCESS,
        report=report,
        **arguments,
    )


def files_of(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in TIMES
    }


def test_a_generator_with_few_of_its_steps_is_warned_of(root, tmp_path, monkeypatch):
    few = (*GENERATOR, "training.steps=9")
    images, warning = Cohort.open(root / "unlabeled"), " has 4 of 9 steps: what it makes may be noise"
    run = train("mddpm", images, tmp_path / "short", settings=few, budget=Budget(steps=4))

    def stop(*_args, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "make_control", stop)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        go(root, tmp_path / "given", run=run, lines=lines)
    assert f"{run}{warning}" in lines
    monkeypatch.undo()
    monkeypatch.setattr(loop, "Budget", lambda minutes: Budget(steps=4, minutes=minutes))
    monkeypatch.setattr(loop, "make_turn", stop)
    monkeypatch.setattr(loop, "control_line", lambda *_: "control")
    monkeypatch.setattr(drawing, "_MEASURED_DRAWS", 10)
    lines.clear()
    with pytest.raises(KeyboardInterrupt):
        go(root, tmp_path / "out", options=QUICK.model_copy(update={"settings": few}), lines=lines)
    assert lines[-2:] == ["control", f"{tmp_path / 'out' / 'run'}{warning}"]


@pytest.fixture(scope="module")
def calm(root, run):
    """A loop that nothing interrupts, its spied trainings and its lines."""
    out = root / "calm"
    lines: list[str] = []
    trained: list[Any] = []
    patch = pytest.MonkeyPatch()
    real = segmenter.train_segmenter

    def spy(phases, *args):
        trained.append((phases, args))
        return real(phases, *args)

    patch.setattr(turn, "train_segmenter", spy)
    annotation = go(root, out, run=run, lines=lines)
    patch.undo()
    return annotation, trained, lines


def test_the_control_and_every_labeler_have_the_same_steps_seed_and_augmentation(calm):
    annotation, trained, _ = calm
    assert len(trained) == 1 + len(annotation.turns)
    (classes, config, seed, _, augment), *others = [args for _, args in trained]
    assert (classes, config, seed, augment) == (3, QUICK.labeler, 0, QUICK.augmentation)
    assert all((args[0], args[1], args[2], args[4]) == (classes, config, seed, augment) for args in others)
    assert {annotation.control.steps, *(made.steps for made in annotation.turns)} == {3}
    of_control, *of_turns = [[len(images) for images, _ in phases] for phases, _ in trained]
    assert of_control == [6]
    assert of_turns == [[2 * 6]] * len(annotation.turns)  # 3 pairs are repeated, so that half of a batch is real


def test_a_turn_learns_its_space_from_the_labels_of_the_turn_before(calm):
    annotation, _, _ = calm
    assert [made.annotated for made in annotation.turns] == [6, 6 + 4]
    assert annotation.turns[0].agreement is None
    assert 0 <= annotation.turns[1].agreement <= 1
    pairs = Cohort.open(annotation.out / "turn-1" / "pairs")
    assert len(pairs) == 3
    assert pairs.label_names == Cohort.open(annotation.out.parent / "labeled").label_names


def test_the_labels_of_the_best_labeler_are_taken_and_marked_as_predicted(calm):
    annotation, _, lines = calm
    means = [annotation.control.measured.mean, *(made.measured.mean for made in annotation.turns)]
    assert annotation.best.mean == max(means)
    folder = annotation.out / (f"turn-{annotation.chosen}" if annotation.chosen else "control")
    cohort = Cohort.open(annotation.out / "annotated")
    taken = read_labeler(folder / "labeler.safetensors")
    source = Cohort.open(annotation.out.parent / "unlabeled")
    assert cohort.ids == source.ids
    for case in cohort:
        assert not case.synthetic
        said = case.provenance or {}
        assert (said["labels"], said["labeler"]) == ("predicted", taken.content_hash)
        assert set(said["confidence"]) == {"organ", "vessel"}
        assert np.array_equal(case.require_image(), source[case.id].require_image())
    assert b"synthetic" not in (cohort.root / "imagesTr" / f"{cohort.ids[0]}_0000.png").read_bytes()
    assert annotation.line.startswith(f"{annotation.out / 'annotated'}: labels of ")
    assert [line.split(":")[0] for line in lines] == ["control", "turn 1", "turn 2"]


@pytest.mark.parametrize("oriented", [False, True])
def test_the_picture_shows_scans_as_radiologists_view_them(oriented):
    """The patient's right on the left and the front at the top; pictures as they are."""
    case = slice_of("case", 0)
    image, labels = np.zeros_like(case.image), np.zeros_like(case.labels)
    image[0, -9:, -9:], labels[-9:, -9:] = 100, 1
    geometry = Geometry(case.geometry.shape, np.eye(4), spacing_known=oriented)
    axes = Figure().add_subplot()
    _draw_slice(axes, replace(case, image=image, labels=labels, geometry=geometry), 1)
    assert axes.yaxis_inverted()
    assert not axes.xaxis_inverted()
    for drawn in axes.images:
        y, x = np.argwhere(np.ma.filled(present(drawn.get_array()), 0) > 0).mean(0)
        assert (x < labels.shape[0] / 2) == (y < labels.shape[1] / 2) == oriented


def test_json_and_picture_are_written(calm):
    annotation, _, _ = calm
    said = json.loads((annotation.out / "annotate.json").read_text())
    assert said["line"] == annotation.line
    assert "rise_over_last_turn" not in said["turns"][0]
    risen = said["turns"][1]["rise_over_last_turn"]
    assert risen["value"] == pytest.approx(np.mean(risen["differences"]))
    assert (risen["n"], risen["interval"]) == (2, "Student's t over patients")
    assert "not for diagnosis" in said["warning"].lower()
    assert (annotation.out / "annotate.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_picture")
def test_a_call_that_is_killed_before_and_after_every_step_ends_with_the_same_bytes(calm, root, run, monkeypatch):
    out, kills = root / "broken", set()

    def deadly(name, real):
        def call(*args, **kwargs):
            step = (name, *(str(arg) for arg in args if isinstance(arg, int) or str(arg).startswith(str(out))))
            for moment in ("before", "after"):
                result = real(*args, **kwargs) if moment == "after" else None
                if (*step, moment) not in kills:
                    kills.add((*step, moment))
                    raise KeyboardInterrupt
            return result

        return call

    for name in ("fit_space", "synthesize", "write_predictions", "write_json"):
        monkeypatch.setattr(turn, name, deadly(name, getattr(turn, name)))
    monkeypatch.setattr(labeler, "write_bytes", deadly("write_bytes", atomic.write_bytes))
    for calls in range(1, 60):
        try:
            found = go(root, out, run=run)
            break
        except KeyboardInterrupt:
            assert len(kills) == calls
    # Spaces, pairs, labelers, labels, records of two turns; labeler and record of the control; the final labels.
    assert len(kills) == 2 * (2 * 5 + 2 + 1)
    assert found.line.split("; ")[1:] == calm[0].line.split("; ")[1:]
    assert files_of(out) == files_of(calm[0].out)


@pytest.mark.usefixtures("no_picture")
def test_a_finished_folder_makes_nothing_anew_and_takes_further_turns(calm, root, run, monkeypatch):
    out = root / "longer"
    first = go(root, out, run=run, options=QUICK.model_copy(update={"turns": 1}))
    assert len(first.turns) == 1
    before = files_of(out)
    go(root, out, run=run, options=QUICK.model_copy(update={"turns": 1}))
    assert files_of(out) == before
    more = go(root, out, run=run)
    assert more.line.split("; ")[1:] == calm[0].line.split("; ")[1:]
    assert files_of(out) == files_of(calm[0].out)
    monkeypatch.setattr(turn, "train_segmenter", lambda *_: 1 / 0)
    go(root, out, run=run)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pairs": 4}, "pairs is 3 there and 4 here"),
        ({"train_on": "generated"}, 'train_on is "generated\\+real" there and "generated" here'),
        ({"labeler": QUICK.labeler.model_copy(update={"steps": 4})}, "labeler.steps is 3 there and 4 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
    ],
)
def test_a_changed_argument_is_refused_by_name(calm, root, run, changed, said):
    with pytest.raises(RunError, match=said):
        go(root, calm[0].out, run=run, options=QUICK.model_copy(update=changed))


def test_other_inputs_are_refused_by_name(calm, root, run):
    with pytest.raises(RunError, match=r"withheld is .* there"):
        go(root, calm[0].out, run=run, withheld=write_slices(root / "others", range(30, 32)))


@pytest.mark.slow
@pytest.mark.usefixtures("no_picture")
def test_generated_pairs_alone_or_before_real_ones(root, run, tmp_path, monkeypatch):
    trained: list[Any] = []

    def spy(phases, *args):
        trained.append(phases)
        return segmenter.train_segmenter(phases, *args)

    monkeypatch.setattr(turn, "train_segmenter", spy)
    for train_on in ("generated", "generated-then-real"):
        go(root, tmp_path / train_on, run=run, options=QUICK.model_copy(update={"turns": 1, "train_on": train_on}))
    sizes = [[len(images) for images, _ in phases] for phases in trained]
    assert sizes == [[6], [3], [6], [3, 6]]


@pytest.mark.usefixtures("no_picture")
def test_a_withheld_share_is_used_nowhere(root, run, tmp_path, monkeypatch):
    options = QUICK.model_copy(update={"withheld_share": 0.5, "turns": 1})
    labeled = write_slices(tmp_path / "labeled", range(5))
    inputs, notes = open_inputs(labeled, root / "unlabeled", None, tmp_path / "out", options)
    assert notes == (f"{labeled}: 4 of 10 cases are withheld",)
    apart = {hash_of(case) for case in inputs.withheld}
    assert len(apart) == 4
    for cohort in (inputs.images, inputs.labeled, inputs.unlabeled):
        assert apart.isdisjoint(hash_of(case) for case in cohort)
    seen, read = [], []
    fit, load = ShapeSpace.fit, loaded_cohort.load_cohort

    def fit_spied(cohort, **named):
        seen.append(cohort)
        return fit(cohort, **named)

    def load_spied(*args):
        read.append(load(*args))
        return read[-1]

    monkeypatch.setattr(ShapeSpace, "fit", fit_spied)
    monkeypatch.setattr(turn, "load_cohort", load_spied)
    go(root, tmp_path / "out", labeled=labeled, withheld=None, run=run, options=options)
    assert apart.isdisjoint(hash_of(case) for cohort in seen for case in cohort)
    assert apart.isdisjoint(found for loaded in read for found in loaded.hashes)
    assert len(seen) == 1
    assert len(read) == 3


@pytest.mark.usefixtures("no_picture")
def test_without_a_run_the_generator_learns_from_all_images_but_the_withheld(root, tmp_path):
    options = QUICK.model_copy(update={"turns": 1})
    go(root, tmp_path / "out", options=options)
    method = load_method(tmp_path / "out" / "run")
    assert method.fingerprint.count == 6 + 4
    assert method.fingerprint.label_names == {"background": 0}
    inputs, _ = open_inputs(root / "labeled", root / "unlabeled", root / "withheld", tmp_path / "other", QUICK)
    assert check_run("run", method, inputs) == ()
    leaky = replace(inputs, withheld=inputs.labeled)
    with pytest.raises(RunError, match=r"was trained on 6 withheld images \(P00_0\)"):
        check_run("run", method, leaky)
    method.memory = {}
    assert "cannot be checked" in check_run("run", method, leaky)[0]


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("pig", {}, "a run of pig"),
        ("mddpm", {"dimensions": 3}, "makes 3-D images"),
        ("mddpm", {"channel_names": ("CT",)}, "has channels CT"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(root, run, name, changed, said):
    method = load_method(run)
    method.name, method.memory = name, {}
    method.fingerprint = method.fingerprint.model_copy(update=changed)
    inputs, _ = open_inputs(root / "labeled", root / "unlabeled", root / "withheld", root / "other", QUICK)
    with pytest.raises(RunError, match=said):
        check_run("run", method, inputs)


@pytest.mark.parametrize("place", ["labeled", "unlabeled"])
def test_a_withheld_image_elsewhere_is_refused_by_name(root, run, tmp_path, place):
    stolen = slice_of("P40_0", 2001)  # the second slice of patient 20
    if place == "unlabeled":
        stolen = replace(stolen, labels=None, label_names={"background": 0})
    patients = {"labeled": range(3), "unlabeled": range(10, 12)}[place]
    changed = {place: write_slices(tmp_path / place, patients, copies=[stolen], labeled=place == "labeled")}
    with pytest.raises(CohortError, match=f"{place} case P40_0 is withheld case P20_1; no image in two"):
        go(root, tmp_path / "out", run=run, **changed)
    assert not (tmp_path / "out").exists()


def test_a_withheld_patient_elsewhere_is_refused(root, run, tmp_path):
    labeled = write_slices(tmp_path / "labeled", [1, 2, 20], 3)
    with pytest.raises(CohortError, match=r"1 patient has labeled cases as well \(P20\)"):
        go(root, tmp_path / "out", run=run, labeled=labeled)


def test_a_withheld_texture_is_refused(root, run, tmp_path):
    options = QUICK.model_copy(update={"request": {"guides": [{"image": str(root / "withheld")}]}})
    with pytest.raises(CohortError, match=r"case P20_0 of guides\.0\.image is withheld case P20_0"):
        go(root, tmp_path / "out", run=run, options=options)


def test_inputs_that_do_not_fit_are_refused(root, run, tmp_path):
    volumes = {"depth": 8}
    cohorts = {
        name: write_slices(tmp_path / name, patients, **volumes)
        for name, patients in {"labeled": range(3), "withheld": range(20, 22)}.items()
    }
    cohorts["unlabeled"] = write_slices(tmp_path / "unlabeled", range(10, 12), labeled=False, **volumes)
    with pytest.raises(GeometryError, match="is a volume of 24 x 24 x 8; shape spaces are made of slices"):
        go(root, tmp_path / "out", run=run, **cohorts)
    other = write_slices(tmp_path / "other", range(20, 22), labels={"background": 0, "vessel": 1, "organ": 2})
    with pytest.raises(CohortError, match="label_names"):
        go(root, tmp_path / "out", run=run, withheld=other)
    other = write_slices(tmp_path / "channel", range(10, 12), labeled=False, channels=("CT",))
    with pytest.raises(CohortError, match="channel_names"):
        go(root, tmp_path / "out", run=run, unlabeled=other)
    with pytest.raises(CohortError, match="every case needs labels"):
        go(root, tmp_path / "out", run=run, labeled=write_slices(tmp_path / "bare", range(3), labeled=False))
    with pytest.raises(CohortError, match="1 withheld patient; a standard error needs two"):
        go(root, tmp_path / "out", run=run, withheld=write_slices(tmp_path / "one", [20]))
    with pytest.raises(RequestError, match="does not match"):
        go(root, tmp_path / "out", run=run, options=QUICK.model_copy(update={"group": "(Q)"}))
    with pytest.raises(CohortError, match="lies in, on or around"):
        go(root, root / "labeled" / "out", run=run)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(CohortError, match=r"holds something else \(no settings.json\)"):
        go(root, tmp_path / "full", run=run)
    with pytest.raises(RequestError, match="no preset 'huge'"):
        go(root, tmp_path / "out", options=QUICK.model_copy(update={"preset": "huge"}))
    assert not (tmp_path / "out").exists()


def test_slices_count_as_patients_only_where_somebody_says_so(root, tmp_path):
    folders = root / "labeled", root / "unlabeled"
    ungrouped = QUICK.model_copy(update={"group": None, "withheld_share": 0.5})
    with pytest.raises(RequestError) as refusal:
        open_inputs(*folders, None, tmp_path / "out", ungrouped)
    assert refusal.value.line == (
        "--group: not given, so that neighboring slices may be on both sides; a share of LABELED is withheld; "
        "name the patient in a case id, '(.*)' if each case is one, or give --withheld"
    )
    explicit = ungrouped.model_copy(update={"group": "(.*)"})
    assert len(open_inputs(*folders, None, tmp_path / "out", explicit)[0].withheld) == 3
    _, (note,) = open_inputs(*folders, root / "withheld", tmp_path / "out", ungrouped)
    assert note.startswith(f"{root / 'withheld'}: no --group, so that each slice counts as a patient; slices of one")
    with pytest.raises(CohortError, match="1 withheld slice; a standard error needs two"):
        open_inputs(*folders, write_slices(tmp_path / "one", [20], 1), tmp_path / "out", ungrouped)


def test_withheld_patients_that_share_no_label_are_refused(root, tmp_path):
    one = replace(slice_of("P40_0", 4001), labels=np.zeros_like(slice_of("P40_0", 4001).labels))
    withheld = write_slices(tmp_path / "withheld", [20], copies=[one])
    inputs, _ = open_inputs(root / "labeled", root / "unlabeled", withheld, tmp_path / "out", QUICK)
    with pytest.raises(CohortError, match="no label is in 2 withheld patients; a mean Dice needs one that is"):
        check_contents(inputs, NullProgress())


def test_labels_of_the_unlabeled_are_ignored_with_a_note(root, tmp_path):
    unlabeled = write_slices(tmp_path / "unlabeled", range(10, 12))
    inputs, notes = open_inputs(root / "labeled", unlabeled, root / "withheld", tmp_path / "out", QUICK)
    assert notes == (f"{unlabeled}: labels of 4 cases are ignored",)
    assert not inputs.unlabeled.ids_with_labels
    assert not inputs.images.ids_with_labels
    assert images_alone(Cohort.open(unlabeled)).ids == inputs.unlabeled.ids


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--train-on", "real"], "annotate: train_on"),
        (["--size", "20"], "annotate: size"),
        (["--withheld-share", "1"], "annotate: withheld_share"),
        (["--mirror", "2"], "annotate: augmentation.mirror"),
    ],
)
def test_the_command_refuses_a_bad_option_by_name(root, tmp_path, capsys, options, said):
    code = main(["annotate", str(root / "labeled"), str(root / "unlabeled"), str(tmp_path / "out"), *options])
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_records_refuse_what_they_do_not_know(calm):
    stored = json.loads((calm[0].out / "turn-1" / "turn.json").read_text())
    assert TurnRecord.model_validate(stored) == calm[0].turns[0]
    with pytest.raises(ValueError, match="extra"):
        ControlRecord.model_validate(stored)
