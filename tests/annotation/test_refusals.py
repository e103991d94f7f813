"""What the loop refuses before it binds a folder to its settings, and damage that it notices afterwards."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from annotation_slices import GENERATOR, QUICK, write_slices
from medsmith.anatomy import drawing
from medsmith.annotation import annotate, loop, turn
from medsmith.annotation.records import Stopwatch
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, FileError, MedsmithError, RequestError, RunError, TrainingError
from medsmith.formats.lock import hold_folder
from medsmith.synthesis import SynthesisOptions
from medsmith.training import train
from synthesis_fakes import NOISE_PASSES, InProcessExecutor

IN_PROCESS = SynthesisOptions(executor=InProcessExecutor, limits=NOISE_PASSES)
ONE_TURN = QUICK.model_copy(update={"turns": 1})


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Leaves out what takes time and is tested elsewhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr(drawing, "_MEASURED_DRAWS", 10)
    patch.setattr(loop, "draw_picture", lambda *_: b"")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("annotation")
    write_slices(root / "labeled", range(3))
    write_slices(root / "unlabeled", range(10, 12), labeled=False)
    write_slices(root / "withheld", range(20, 22))
    train("mddpm", Cohort.open(root / "unlabeled"), root / "run", settings=GENERATOR)
    return root


@pytest.fixture(scope="module")
def finished(root):
    go(root, root / "finished")
    return root / "finished"


def go(root, out, *, options=ONE_TURN, run="run"):
    folders = root / "labeled", root / "unlabeled", out
    trained = root / run if run else None
    return annotate(*folders, withheld=root / "withheld", run=trained, options=options, synthesis=IN_PROCESS)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("run", ["run", None])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"solver": "eule"}, "solver: 'eule' is not known; there are "),
        ({"solver": ""}, "solver: '' is not known; there are "),
        ({"sampling_steps": 1000}, "sampling"),
        ({"context": "heart"}, "--context: 'heart'; auto, none, or of body"),
        ({"labeler": QUICK.labeler.model_copy(update={"batch": 10**12})}, "annotate: batches of 1000000000000 slices"),
        ({"request": {"guides": 3}}, "request: guides = 3; must be a list"),
        ({"request": {"anatomy": "space"}}, ""),
        ({"request": {"guides": [{"image": "nowhere"}]}}, "nowhere: "),
        ({"request": {"guides": [{"image": "CASE", "factor": 512}]}}, "guides.0: factor = 512 on a grid of 16 x 16"),
        ({"request": {"pathologies": [{"case": "CASE"}]}}, "pathologies.0.label: no label named; it has organ, vessel"),
        ({"request": {"pathologies": [{"case": "CASE", "label": "cyst"}]}}, "pathologies.0.label: "),
        (
            {"request": {"pathologies": [{"case": "CASE", "label": "vessel", "within": "lung"}]}},
            "pathologies.0.within: no class 'lung'; there are ",
        ),
    ],
)
def test_nothing_is_made_for_a_request_that_cannot_be_met(root, tmp_path, run, changes, said):
    changed = json.loads(
        json.dumps(changes, default=lambda model: model.model_dump()).replace("CASE", f"{root}/labeled")
    )
    options = type(ONE_TURN).model_validate({**ONE_TURN.model_dump(), **changed})
    if said:
        with pytest.raises(MedsmithError) as refusal:
            go(root, tmp_path / "out", options=options, run=run)
        assert refusal.value.line.startswith(said)
        assert not (tmp_path / "out").exists()
    else:  # the space of the loop takes the place of an anatomy that is none
        assert turn.pair_request(options, Path("s"), ["organ"])["anatomy"] == {"space": "s", "classes": ["organ"]}


def test_runs_of_other_methods_and_volumes_are_refused(root, tmp_path):
    with pytest.raises(RunError, match="lesiondiffusion: a run of lesiondiffusion; an anatomy steers mddpm alone"):
        annotate(
            root / "labeled", root / "unlabeled", tmp_path / "out", withheld=root / "withheld", run="lesiondiffusion"
        )
    volumes = ONE_TURN.model_copy(update={"settings": ("size=[16,16,16]",)})
    with pytest.raises(RequestError, match=r"--set: size = \[16, 16, 16\]; shape spaces are 2-D; give two numbers"):
        go(root, tmp_path / "out", options=volumes, run=None)
    assert not (tmp_path / "out").exists()


def test_slices_without_a_common_shape_bind_no_folder(root, tmp_path):
    write_slices(tmp_path / "two", range(2), 1)
    with pytest.raises(CohortError, match="2 cases to learn from; at least 3 slices; add cases"):
        annotate(
            tmp_path / "two",
            root / "unlabeled",
            tmp_path / "out",
            withheld=root / "withheld",
            run=root / "run",
            options=ONE_TURN,
        )
    assert not (tmp_path / "out").exists()


def test_the_folder_lies_not_in_the_run_nor_in_a_cohort_of_the_request(root, tmp_path):
    texture = write_slices(tmp_path / "texture", range(30, 32), labeled=False)
    request = ONE_TURN.model_copy(update={"request": {"guides": [{"image": str(texture)}]}})
    for folder, options in ((root / "run", ONE_TURN), (texture, request)):
        with pytest.raises(CohortError, match=f"lies in or on {folder}; nothing is written into what is read"):
            go(root, folder / "new", options=options)
        assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "1000000000000"], "annotate: size = 1000000000000; must be less than or equal to 2048"),
        (
            ["--pairs", "100000000000000000000"],
            "annotate: pairs = 100000000000000000000; must be less than or equal to",
        ),
        (["--batch", "100000000000000000000"], "annotate: batches of 100000000000000000000 slices of "),
        (["--size", "2048", "--batch", "17"], "annotate: batches of 17 slices of 2048 x 2048 pixels; at most 67108864"),
    ],
)
def test_huge_numbers_are_refused_in_one_line(root, tmp_path, capsys, options, said):
    folders = [str(root / "labeled"), str(root / "unlabeled"), str(tmp_path / "out")]
    assert main(["annotate", *folders, "--withheld", str(root / "withheld"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_one_line(root, tmp_path, monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr(turn, "train_segmenter", fail)
    with pytest.raises(TrainingError, match="out of memory with batches of 2 slices of 16 x 16 pixels; lower --batch"):
        go(root, tmp_path / "out")
    monkeypatch.setattr(turn, "train_segmenter", lambda *_: (_ for _ in ()).throw(RuntimeError("a mistake of ours")))
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        go(root, tmp_path / "out")


def test_a_second_loop_at_once_is_refused(root, tmp_path):
    out = tmp_path / "out"
    with hold_folder(out, RunError("held", "held")), pytest.raises(RunError, match="another process is training here"):
        go(root, out)
    assert not out.exists()


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("name", "remove"),
    [
        ("control/labeler.safetensors", ["control/labeler.safetensors", "control/control.json"]),
        ("turn-1/space.safetensors", ["turn-1/space.safetensors", "turn-1/turn.json"]),
        ("turn-1/labeler.safetensors", ["turn-1/labeler.safetensors", "turn-1/turn.json"]),
        ("turn-1/pairs/imagesTr/mddpm_00001_0000.png", ["turn-1/pairs", "turn-1/turn.json"]),
        ("turn-1/labels/labelsTr/P10_0.png", ["turn-1/labels", "turn-1/turn.json"]),
        ("turn-1/labels/provenance/P11_1.json", ["turn-1/labels", "turn-1/turn.json"]),
        ("annotated/labelsTr/P10_1.png", ["annotated"]),
    ],
)
@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_damage_is_named_and_what_is_removed_is_made_again(root, finished, tmp_path, name, remove, damage):
    out = root / tmp_path.name  # beside the run, which the plan of the pairs names by its relative path
    shutil.copytree(finished, out)
    before = contents(out)
    damage(out / name)
    if damage is Path.unlink and name.startswith("annotated"):
        remove = []  # a case that is not there is labeled anew
    if remove:
        damaged = contents(out)
        with pytest.raises(RunError) as refusal:
            go(root, out)
        assert refusal.value.line.startswith(f"{out / name}: is ")
        cure = f"remove {' and '.join(str(out / path) for path in remove)}; the same command makes it again"
        assert refusal.value.line.endswith(cure)
        assert contents(out) == damaged
    for path in remove:
        shutil.rmtree(out / path) if (out / path).is_dir() else (out / path).unlink(missing_ok=True)
    go(root, out)
    times = {Path("seconds.json"), Path("annotate.json")}
    assert {k: v for k, v in contents(out).items() if k not in times} == {
        k: v for k, v in before.items() if k not in times
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("turn-1/turn.json", "{}", "'number' is missing; remove {path}; the same command makes it again"),
        ("control/control.json", "[", "not JSON"),
        ("seconds.json", '{"turn-1/space": "x"}', 'turn-1/space = "x"; must be a number of seconds; remove it'),
        ("seconds.json", '{"turn-1/space": NaN}', "NaN is no number of JSON"),
    ],
)
def test_a_damaged_record_is_named(root, finished, tmp_path, name, text, said):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / name).write_text(text)
    with pytest.raises((RunError, FileError)) as refusal:
        go(root, out)
    assert refusal.value.line.startswith(f"{out / name}: ")
    assert said.format(path=out / name) in refusal.value.line


def test_a_record_without_a_patient_is_damaged(root, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    record = json.loads((out / "turn-1" / "turn.json").read_text())
    record["measured"]["patients"].popitem()
    (out / "turn-1" / "turn.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"turn.json: measured = .*dice and patients are not of the same cases"):
        go(root, out)


def test_times_are_added_up(tmp_path):
    Stopwatch(tmp_path).add("turn-1/space", 1.5)
    watch = Stopwatch(tmp_path)
    watch.add("turn-1/space", 1.0)
    assert watch.total("turn-1") == 2.5
