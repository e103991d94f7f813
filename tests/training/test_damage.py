"""Damaged checkpoints and weights, and folders that hold something else."""

import json
import math
import shutil

import pytest
import torch

import micro
from medsmith.cases.cohort import Cohort
from medsmith.errors import MedsmithError, RequestError, RunError
from medsmith.runs.checkpoints import load_method, unpack
from medsmith.runs.folder import StageCheckpoints, lock_run
from medsmith.training import Budget, train
from run_state import reached, settings, state, strays


def flip_a_bit(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 16
    path.write_bytes(data)


def newest_first(run):
    return sorted((run / "checkpoints" / "stack").glob("step-*"), reverse=True)


DAMAGES = [flip_a_bit, lambda path: path.write_bytes(path.read_bytes()[:-7]), lambda path: path.unlink()]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, cohort, copied, tmp_path, caplog):
    newest, before = newest_first(copied)
    damage(newest)
    assert reached(copied) == {"stack": 3}
    assert f"{newest}: is missing or damaged" in caplog.text
    for run in (copied, tmp_path / "uninterrupted"):
        train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=5, checkpoint_seconds=math.inf))
    assert state(copied)["checkpoints"] == state(tmp_path / "uninterrupted")["checkpoints"]
    assert [path.name for path in newest_first(copied)] == ["step-00000005.safetensors", before.name]


@pytest.mark.parametrize("damage", DAMAGES)
def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(damage, cohort, copied):
    for path in newest_first(copied):
        damage(path)
    before = {path: path.read_bytes() for path in newest_first(copied)}
    with pytest.raises(RunError) as refusal:
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    folder = copied / "checkpoints" / "stack"
    assert refusal.value.line == f"{folder}: every checkpoint is damaged; remove the folder to train anew"
    assert {path: path.read_bytes() for path in newest_first(copied)} == before


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '[{"file": "../../x", "sha256": "", "step": 1, "seconds": 1}]', '{"file": "a"}']
)
def test_a_damaged_index_is_named(text, cohort, copied):
    index = copied / "checkpoints" / "stack" / "index.json"
    index.write_text(text)
    with pytest.raises(RunError, match=rf"{index}: is no index of checkpoints; restore it, or remove"):
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    assert len(newest_first(copied)) == 2


@pytest.mark.parametrize("name", ["run.json", "weights.safetensors", "memory.safetensors"])
@pytest.mark.parametrize("place", [0.001, 0.3, 0.999])
def test_a_flipped_bit_in_finished_weights_is_caught(name, place, copied):
    flip_a_bit(copied / name, place)
    cure = "restore it, or remove the folder" if name == "run.json" else "run the same train command again"
    with pytest.raises(RunError, match=f"{name}: does not match manifest.json; {cure}"):
        load_method(copied)


@pytest.mark.parametrize("change", [{"seed": 3}, {"compute": {}}, {"versions": {}}])
def test_a_changed_record_of_a_finished_run_is_not_trained_from(change, cohort, copied):
    record = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(record | change))
    with pytest.raises(RunError, match=r"run.json: does not match manifest.json; restore it"):
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))


def test_a_record_without_the_number_format_of_a_stage_is_refused(cohort, copied):
    (copied / "manifest.json").unlink()
    record = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(record | {"compute": {}}))
    with pytest.raises(RunError, match=r"run.json: compute and the stages differ in stack; restore it"):
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))


def test_finished_weights_are_mended_by_the_same_command(cohort, copied, finished_run):
    flip_a_bit(copied / "weights.safetensors")
    (copied / "manifest.json").unlink()
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=4))
    assert state(copied) == state(finished_run)


def promise_again(run):
    from medsmith.formats.atomic import sha256_of, write_json
    from medsmith.runs.checkpoints import FILES

    write_json(run / "manifest.json", {name: sha256_of(run / name) for name in FILES})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95garbage.",  # a pickle
        (2**40).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        b"PK\x03\x04 what torch.save writes",
    ],
)
def test_weights_that_are_no_safetensors_are_refused_by_content(data, copied):
    (copied / "weights.safetensors").write_bytes(data)
    promise_again(copied)
    with pytest.raises(RunError, match=r"weights\.safetensors: cannot be read"):
        load_method(copied)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "os"}, "os: no such method; there are "),
        ({"method": "../../evil"}, "../../evil: no such method; there are "),
        ({"newer": 1}, "{run}/run.json: unknown key 'newer'"),
        ({"compute": {"stack": {"precision": "float8"}}}, "{run}/run.json: compute.stack.precision = "),
        ({"config": {"size": [8, 8], "depth": 3}}, "config: unknown key 'depth'"),
    ],
)
def test_a_record_that_this_version_does_not_know_is_explained(change, line, copied):
    record = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(record | change))
    promise_again(copied)
    with pytest.raises((RunError, RequestError)) as refusal:
        load_method(copied)
    assert refusal.value.line.startswith(line.format(run=copied))
    assert "\n" not in refusal.value.line


def test_checkpoint_weights_that_are_not_finite_are_refused(copied):
    path = newest_first(copied)[0]
    tensors = unpack(path)
    name = next(name for name in tensors if name.startswith("ema."))
    tensors[name].view(-1)[0] = math.nan
    StageCheckpoints(copied, "stack").save(tensors, 5, 1.0)
    with pytest.raises(RunError, match="has numbers that are not finite; use an earlier checkpoint"):
        train("ddpm", Cohort.open(_cohort_of(copied)), copied, settings=settings(), budget=Budget(steps=6))


def test_seconds_of_a_checkpoint_are_kept_exactly_so_that_a_spent_budget_stays_spent(tmp_path):
    spent = 1.20049999
    checkpoints = StageCheckpoints(tmp_path, "stack")
    checkpoints.save({"weight": torch.zeros(2)}, 5, spent)
    found = checkpoints.newest()
    assert found is not None
    assert found[1].seconds == spent
    assert Budget(minutes=1).share_spent(5, found[1].seconds, 100, spent) == 1


def _cohort_of(run):
    return micro.micro_cohort(run.parent / "same", count=5).root


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "segguided"}, "was started with method ddpm; segguided is requested; choose another run folder"),
        ({"preset": "best"}, "was started with preset tiny; best is requested"),
        ({"seed": 1}, "was started with seed 0; 1 is requested"),
        ({"more": "training.batch=4"}, "was started with training.batch 2; 4 is requested"),
        ({"more": "size=[16,8]"}, "was started with size [8, 8]; [16, 8] is requested"),
        ({"count": 3}, "was started with a cohort of content "),
    ],
)
def test_a_folder_that_holds_another_run_is_refused_by_what_differs(change, line, cohort, copied, tmp_path):
    method, more = change.get("method", "ddpm"), [change["more"]] if "more" in change else []
    if "count" in change:
        cohort = micro.micro_cohort(tmp_path / "other", count=change["count"])
    preset, seed = change.get("preset", "tiny"), change.get("seed", 0)
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with pytest.raises(RunError) as refusal:
        train(method, cohort, copied, preset=preset, settings=settings(method, *more), seed=seed)
    assert refusal.value.line.startswith(f"{copied}: {line}")
    if "count" in change:
        said = f"; {cohort.root} has content {cohort.content_hash()[:16]}; it is another cohort, or its cases, labels"
        assert said in refusal.value.line
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_a_run_of_a_version_with_fewer_settings_goes_on(cohort, copied):
    path = copied / "run.json"
    record = json.loads(path.read_text())
    del record["config"]["training"]["betas"]
    path.write_text(json.dumps(record))
    promise_again(copied)
    train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    assert reached(copied) == {"stack": 5}


def test_checkpoints_without_their_record_are_not_taken_over(cohort, copied):
    (copied / "run.json").unlink()
    with pytest.raises(RunError, match=r"has checkpoints and no run\.json; restore run\.json, or choose another"):
        train("ddpm", cohort, copied, settings=settings())


def test_a_folder_with_anything_else_is_refused_and_stays_as_it_was(cohort, tmp_path):
    other = shutil.copytree(cohort.root, tmp_path / "other")
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"holds something else \(no run\.json\); a run has a folder of its own; choose"):
        train("ddpm", cohort, other, settings=settings())
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["README.md", "manifest.json", "examples/mine.txt", "examples/decoded.txt"])
def test_a_users_file_is_refused_and_nothing_is_left_beside_it(name, cohort, tmp_path):
    project = tmp_path / "project"
    (project / name).parent.mkdir(parents=True)
    (project / name).write_text("my own notes, no copy anywhere")
    with pytest.raises(RunError, match=r"holds something else \(no run\.json\)"):
        train("ddpm", cohort, project, settings=settings(), budget=Budget(steps=1))
    assert [path for path in project.rglob("*") if path.is_file()] == [project / name]
    assert (project / name).read_text() == "my own notes, no copy anywhere"


def test_a_users_readme_in_a_run_folder_is_not_replaced_by_the_model_card(cohort, copied):
    (copied / "README.md").write_text("# my own notes")
    with pytest.raises(
        RunError, match=r"README\.md: is not the model card of this run; nothing of others is overwritt"
    ):
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=5))
    assert (copied / "README.md").read_text() == "# my own notes"
    (copied / "README.md").unlink()
    for steps in (5, 6):  # a card is replaced by that of more steps
        train("ddpm", cohort, copied, settings=settings(), budget=Budget(steps=steps))
        assert f"- stack: {steps} of" in (copied / "README.md").read_text()


def test_a_killed_writers_first_file_blocks_no_run(cohort, run):
    store = run / "examples" / "prepared-0"
    store.mkdir(parents=True)
    for folder in (run, store):
        (folder / ".medsmith-00ff00ff00ff00ff.json").write_text("{")
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=1))
    assert not strays(run)


def test_one_process_trains_in_a_folder(cohort, run):
    with lock_run(run), pytest.raises(RunError, match="another process is training here; one at a time"):
        train("ddpm", cohort, run, settings=settings())
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=1))


def test_a_run_folder_that_cannot_be_made_is_named(cohort, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MedsmithError, match=r"file/run: cannot be made or written to \(Not a directory\)"):
        train("ddpm", cohort, tmp_path / "file" / "run", settings=settings())
