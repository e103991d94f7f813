"""Synthesis of one case, plans, locks and messages; no process is started here."""

import json
import os
import pickle
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith import errors
from medsmith.cases.cohort import Cohort
from medsmith.errors import (
    FileError,
    MedsmithError,
    RequestError,
    RunError,
    SynthesisError,
    error_from_json,
    error_to_json,
)
from medsmith.networks.memory import made_in_pieces
from medsmith.networks.micro_batch import MicroBatch
from medsmith.synthesis import case_synthesis
from medsmith.synthesis.case_synthesis import load, resolve_request, synthesize_case
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.executors.base import Timeouts
from medsmith.synthesis.executors.processes import ProcessExecutor
from medsmith.synthesis.messages import encoded
from medsmith.synthesis.plan import PLAN, Plan, read_plan, relative_run, resolve_run, write_plan
from medsmith.synthesis.tasks import CaseTask, SynthesisRequest, first_difference
from medsmith.synthesis.worker import _in_words
from narrowing import present
from synthesis_fakes import LOADER, FakeMethod, case_seed, fingerprint, write_run


@pytest.fixture
def asked(tmp_path):
    load.cache_clear()
    return SynthesisRequest(run=str(write_run(tmp_path / "run")), loader=LOADER, limits=Limits(attempts=20))


def task_of(asked, index):
    return CaseTask(run=asked.run, loader=asked.loader, recipe=resolve_request(asked, "cpu").recipe, index=index)


def made(task):
    return present(synthesize_case(task, "cpu").case)


def same(one, other):
    return np.array_equal(one.image, other.image) and np.array_equal(one.labels, other.labels)


def test_a_case_depends_on_its_task_alone(asked):
    tasks = [task_of(asked, index) for index in range(6)]
    forward = [made(task) for task in tasks]
    load.cache_clear()
    backward = [made(task) for task in reversed(tasks)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert same(one, other)
        assert one.provenance == other.provenance
    assert not any(same(forward[0], other) for other in forward[1:])


def test_a_task_survives_json(asked):
    task = task_of(asked, 3)
    again = CaseTask.model_validate_json(task.model_dump_json())
    assert again == task
    assert same(synthesize_case(again, "cpu").case, synthesize_case(task, "cpu").case)


def test_a_refused_attempt_is_repeated_with_the_next_seed(asked):
    records = [present(made(task_of(asked, index)).provenance) for index in range(12)]
    attempts = [record["attempt"] for record in records]
    assert 0 in attempts
    assert max(attempts) > 0
    for index, record in enumerate(records):
        assert record["case_seed"] == case_seed(index, record["attempt"])
        assert record["refused"].get("mask_not_empty", 0) == record["attempt"]
        assert {check["outcome"] for check in record["checks"]} == {"passed", "not made"}


def test_the_threads_of_all_rows_share_one_batch_and_join_the_networks_once(asked, monkeypatch):
    """They start at once: with a batch each they would share no pass; joined twice, a pass would wait for itself."""
    sizes, joined, inside = [], [], threading.Lock()

    def slow_batch(size):
        sizes.append(size)
        time.sleep(0.05)
        return MicroBatch(size)

    def join(method):
        assert inside.acquire(blocking=False)
        joined.append(method)
        time.sleep(0.01)
        inside.release()

    monkeypatch.setattr(case_synthesis, "MicroBatch", slow_batch)
    monkeypatch.setattr(case_synthesis, "let_join", join)
    case_synthesis._micro_batch.cache_clear()
    tasks = [task_of(asked.model_copy(update={"batch": 3}), index) for index in range(3)]
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda one: synthesize_case(one, "cpu"), tasks))
    case_synthesis._micro_batch.cache_clear()
    assert all(result.case is not None for result in made)
    assert sizes == [3]
    assert len(joined) >= 3


def test_attempts_are_limited(tmp_path):
    asked = SynthesisRequest(run=str(write_run(tmp_path / "run", empty=1.0)), loader=LOADER, limits=Limits(attempts=7))
    seen: list[int] = []
    found = synthesize_case(task_of(asked, 0), "cpu", seen.append)
    assert found.case is None
    assert found.refused == {"mask_not_empty": 7, "foreground_share": 7}
    assert seen == list(range(7))


def test_provenance_says_what_it_must(asked, tmp_path):
    case = made(task_of(asked, 2))
    record = present(case.provenance)
    assert case.id == "fake_00002"
    assert record["synthetic"] is True
    assert record["notice"] == "Synthetic research data. Not for diagnosis."
    assert (record["method"], record["run_seed"], record["index"]) == ("fake", 0, 2)
    assert (record["solver"], record["steps"], record["request"]) == ("ddim", 4, {"brightness": 0.0, "like": None})
    assert {"medsmith", "torch", "monai", "numpy", "python"} <= record["versions"].keys()
    text = json.dumps(record)
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text


@pytest.mark.usefixtures("unchecked_types")
def test_smaller_tiles_are_recorded_and_a_case_that_fits_nowhere_is_told_in_words(asked, monkeypatch):
    usual = present(made(task_of(asked, 2)).provenance)
    whole = FakeMethod.synthesize

    def tiled(method, *arguments):
        def make(size):
            if size > 8:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return whole(method, *arguments)

        return made_in_pieces(make, 32, 4)

    monkeypatch.setattr(FakeMethod, "synthesize", tiled)
    record = present(made(task_of(asked, 2)).provenance)
    assert record == usual | {"tile": 8}
    assert "`tile`" in (Path(__file__).parents[2] / "docs" / "provenance.md").read_text()
    words = "out of memory, in the smallest pieces too; use fewer workers, or a run with smaller settings"
    assert _in_words(torch.OutOfMemoryError("CUDA out of memory")) == words
    assert _in_words(ZeroDivisionError("a bug")) == "ZeroDivisionError: a bug"


def test_a_solver_of_another_package_is_recorded_with_its_version(asked, tmp_path, monkeypatch):
    facts = tmp_path / "package" / "my_solvers-1.2.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-solvers\nVersion: 1.2\n")
    (facts / "entry_points.txt").write_text("[medsmith.solvers]\nhalves = my_solvers:halves\n")
    monkeypatch.syspath_prepend(str(facts.parent))
    record = present(made(task_of(asked.model_copy(update={"solver": "halves"}), 0)).provenance)
    assert (record["solver"], record["versions"]["solver halves"]) == ("halves", "my-solvers 1.2")
    assert not any(name.startswith("solver ") for name in present(made(task_of(asked, 0)).provenance)["versions"])


def test_every_field_of_provenance_is_documented(asked):
    record = present(made(task_of(asked, 0)).provenance)
    page = (Path(__file__).parents[2] / "docs" / "provenance.md").read_text()
    keys = [*record, "files", *record["limits"], *record["checks"][0], "reason"]
    assert [key for key in keys if f"`{key}`" not in page] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"request": {"brihgtness": 2}}, "unknown key 'brihgtness'; nearest: brightness"),
        ({"solver": "dpm"}, "'dpm' is not known; there are ddpm, ddim, dpm++2m, euler"),
        ({"steps": 0}, "steps: 0; at least 1"),
        ({"devices": ("abacus",)}, "'abacus' is not known"),
    ],
)
def test_a_request_is_refused_by_name(asked, changes, words):
    with pytest.raises(RequestError) as caught:
        resolve_request(asked.model_copy(update=changes), "cpu")
    assert words in caught.value.line


def test_a_cohort_that_a_request_names_is_part_of_the_recipe(asked, tmp_path):
    facts = fingerprint()
    cohort = Cohort.create(
        tmp_path / "masks", channel_names=facts.channel_names, label_names=facts.label_names, file_ending=".png"
    )
    asking = asked.model_copy(update={"request": {"like": str(tmp_path / "masks")}})
    hashes = []
    for index in range(2):
        cohort.write(replace(made(task_of(asked, index)), provenance=None))
        hashes.append(with_hashes(resolve_request(asking, "cpu")).inputs["like"])
    assert hashes[0] != hashes[1]
    assert hashes[1] == cohort.content_hash()
    assert with_hashes(resolve_request(asked, "cpu")).inputs == {}


def test_the_memory_of_a_run_is_part_of_the_recipe(asked):
    method, recipe = load(asked.run, LOADER, "cpu"), resolve_request(asked, "cpu").recipe
    method.memory = {"masks": torch.zeros(2, 3)}
    once = resolve_request(asked, "cpu").recipe
    method.memory = {"masks": torch.zeros(3, 2)}
    assert len({recipe.memory_hash, once.memory_hash, resolve_request(asked, "cpu").recipe.memory_hash}) == 3


def test_other_weights_are_refused(asked):
    task = task_of(asked, 0)
    recipe = task.recipe.model_copy(update={"weights_hash": "0" * 64})
    with pytest.raises(RunError, match="the weights have changed"):
        synthesize_case(task.model_copy(update={"recipe": recipe}), "cpu")


def test_a_plan_is_kept_extended_or_refused(asked, tmp_path):
    plan = Plan(count=5, run="../run", recipe=resolve_request(asked, "cpu").recipe)
    write_plan(tmp_path, plan)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    write_plan(tmp_path, plan.model_copy(update={"count": 9}))
    assert read_plan(tmp_path).count == 9
    with pytest.raises(SynthesisError, match="count is 9 there and 5 here"):
        write_plan(tmp_path, plan)
    for key, value, words in [
        ("seed", 4, "seed is 0 there and 4 here"),
        ("steps", 9, "steps is 4 there and 9 here"),
        ("request", {"brightness": 3.0}, r"request.brightness is 0.0 there and 3.0 here"),
        ("limits", Limits(attempts=21), "limits.attempts is 20 there and 21 here"),
        ("weights_hash", "f" * 64, "weights_hash is "),
    ]:
        recipe = plan.recipe.model_copy(update={key: value})
        with pytest.raises(SynthesisError, match=words):
            write_plan(tmp_path, Plan(count=9, run="../run", recipe=recipe))
    assert read_plan(tmp_path).recipe == plan.recipe


def test_a_damaged_plan_is_named(tmp_path):
    (tmp_path / PLAN).write_text('{"format": 1, "count": "many"}')
    with pytest.raises(FileError, match=r"synthesis.json: count = \"many\"; must be a valid integer; restore it"):
        read_plan(tmp_path)


def test_a_run_is_found_after_both_have_moved(tmp_path):
    (tmp_path / "a" / "run").mkdir(parents=True)
    (tmp_path / "a" / "out").mkdir()
    written = relative_run(str(tmp_path / "a" / "run"), tmp_path / "a" / "out")
    assert str(tmp_path) not in written
    (tmp_path / "a").rename(tmp_path / "b")
    assert Path(resolve_run(written, tmp_path / "b" / "out")).samefile(tmp_path / "b" / "run")
    assert resolve_run(relative_run("pig", tmp_path), tmp_path) == "pig"


@pytest.mark.parametrize("kind", MedsmithError.__subclasses__())
def test_errors_cross_process_borders(kind):
    error = kind("a", "b", "c", "d")
    error.add_note("where")
    for again in (error_from_json(json.loads(encoded(error_to_json(error)))), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert (again.line, again.__notes__) == (error.line, ["where"])


def test_errors_family_is_complete():
    """Workers name their errors, so each must be in the one file, whether its module has been imported here or not."""
    home = Path(errors.__file__)
    family = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MedsmithError)}
    assert {kind.__name__ for kind in MedsmithError.__subclasses__()} <= family
    member = re.compile(rf"^ *class \w+\(.*\b(?:{'|'.join(family)})\b", re.MULTILINE)
    assert member.search(home.read_text())
    assert not [path for path in home.parent.rglob("*.py") if path != home and member.search(path.read_text())]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@settings(max_examples=40, deadline=None)
@given(OBJECT)
def test_nothing_differs_from_itself(value):
    assert first_difference(value, json.loads(json.dumps(value))) == ""


@settings(max_examples=80, deadline=None)
@given(OBJECT, OBJECT)
def test_a_difference_is_found(one, other):
    assert bool(first_difference(one, other)) == _differ(one, other)


def test_the_entry_of_a_list_that_differs_is_named():
    there, here = ({"lesions": [{"organ": "liver"}, {"organ": organ, "size": [1, 2]}]} for organ in ("spleen", "colon"))
    assert first_difference(there, here) == 'lesions.1.organ is "spleen" there and "colon" here'
    assert first_difference({"lesions": []}, here).startswith("lesions is [] there and")


def _differ(one, other):
    """A key that is absent and one that is null say the same."""
    pairs = [(one.get(key), other.get(key)) for key in one.keys() | other.keys()]
    return any(_differ(a, b) if isinstance(a, dict) and isinstance(b, dict) else a != b for a, b in pairs)


def test_the_timeout_grows_with_the_slowest_attempt():
    assert Timeouts().for_attempt(None) == 3600
    assert Timeouts().for_attempt(0.1) == 60
    assert Timeouts().for_attempt(30.0) == 600
    assert Timeouts(attempt=5.0).for_attempt(30.0) == 5


def test_workers_that_die_while_loading_are_counted(asked, monkeypatch):
    monkeypatch.setattr("medsmith.synthesis.executors.worker_process.sys.executable", "/bin/false")
    with (
        ProcessExecutor(asked, 2, Timeouts(), lambda: False) as executor,
        pytest.raises(SynthesisError, match="10 workers in a row") as caught,
    ):
        executor.resolve()
    assert "exit code 1" in caught.value.line
