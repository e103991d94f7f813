"""Processes that torchrun or SLURM has started train together, and one of them speaks."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import medsmith.training.shared_folder
from medsmith.errors import RequestError, RunError
from medsmith.runs.folder import lock_run
from medsmith.started_processes import StartedProcesses, environment_of_one, started_processes, together
from medsmith.training import Budget, train
from medsmith.training.shared_folder import await_shared
from process_stand_in import two_environments
from run_state import reached, settings, state

STEP = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "4"}


@pytest.fixture
def variables(monkeypatch):
    """Sets variables of a starter, which are read once per process."""
    started_processes.cache_clear()

    def set_all(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    yield set_all
    started_processes.cache_clear()


def command(cohort, run, *more):
    """A command of the smallest training."""
    chosen = [part for setting in settings() for part in ("--set", setting.replace(" ", ""))]
    return ["train", "ddpm", cohort.root, "--run", run, *chosen, "--seed", "9", *more]


@pytest.mark.parametrize("starter", ["torchrun", "srun"])
def test_started_processes_train_as_those_that_training_starts(starter, server, cohort, tmp_path):
    job = {"method": "ddpm", "devices": 2, "hash_ranks": True, "seed": 9, "budget": {"steps": 4}}
    ended = server.train(tmp_path / "usual", cohort.root, settings=settings(), **job)
    assert (ended.status, ended.error) == (0, "")
    run = tmp_path / "started"
    first, second = server.command(tmp_path, starter, *command(cohort, run, "--max-steps", 4))
    assert (first[0], second) == (0, (0, "")), first[1]
    assert f"{run}: weights saved" in first[1]
    assert state(run) == state(tmp_path / "usual")
    assert "2 devices" in (run / "log.txt").read_text()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--max-steps", "0"), "medsmith train: Invalid value for '--max-steps'"),  # which each process reads
        (("--set", "nothing=1"), "--set: unknown key 'nothing'"),  # which the first alone reads
        (("--devices", "3"), "devices: 3, and srun started 2 processes; each process has one device; leave --devices"),
    ],
)
def test_an_error_is_said_once_and_ends_both(options, line, server, cohort, tmp_path):
    ended = server.command(tmp_path, "srun", *command(cohort, tmp_path / "run", *options))
    assert [code for code, _ in ended] == [2, 2]
    said = [each for _, text in ended for each in text.splitlines() if ": " in each and " of " not in each]
    assert len(said) == 1
    assert said[0].startswith(line)
    assert not (tmp_path / "run").exists()


def test_a_lock_that_is_held_is_said_once(server, cohort, tmp_path):
    with lock_run(tmp_path / "run"):
        ended = server.command(tmp_path, "torchrun", *command(cohort, tmp_path / "run"))
    assert [code for code, _ in ended] == [2, 2]
    line = f"{tmp_path / 'run'}: another process is training here; one at a time; wait for it, or stop it"
    assert [each for _, text in ended for each in text.splitlines()] == [line]


def test_an_interrupt_saves_once_and_the_command_continues(server, cohort, tmp_path):
    calm, run = tmp_path / "calm", tmp_path / "run"
    server.command(tmp_path, "srun", *command(cohort, calm, "--max-steps", 40))
    asked = command(cohort, run, "--max-steps", 40)
    ended = server.command(tmp_path, "srun", *asked, interrupt_at=str(run / "metrics.jsonl"))
    assert [code for code, _ in ended] == [130, 130]
    said = [each for _, text in ended for each in text.splitlines() if "interrupted" in each]
    assert said == [f"{run}: interrupted; what is finished is saved; run the same command again to continue"]
    assert 0 < reached(run)["stack"] < 40
    assert [code for code, _ in server.command(tmp_path, "srun", *asked)] == [0, 0]
    assert state(run) == state(calm)


@pytest.mark.parametrize("starter", ["torchrun", pytest.param("srun", marks=pytest.mark.slow)])
def test_a_dry_run_is_made_by_the_first_and_awaited_by_the_others(starter, server, cohort, tmp_path):
    first, second = server.command(tmp_path, starter, *command(cohort, tmp_path / "run", "--max-steps", 4, "--dry-run"))
    assert (first[0], second) == (0, (0, "")), first[1][-2000:]
    assert "stack: 4 steps" in first[1]
    assert not (tmp_path / "run").exists()


def test_trials_do_not_know_the_starter(variables):
    variables(TORCHELASTIC_RUN_ID="none", SLURM_NTASKS="2", RANK="0", WORLD_SIZE="2", MASTER_ADDR="here", OTHER="kept")
    found = environment_of_one()
    assert found["OTHER"] == "kept"
    assert found.keys() & {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "RANK", "WORLD_SIZE", "MASTER_ADDR"} == set()


@pytest.mark.parametrize("starter", ["torchrun", "srun"])
@pytest.mark.parametrize(("alone", "found"), [(0, "1 came"), (1, "process 0 was not reached")])
def test_a_process_that_others_never_join_says_so_once(alone, found, starter, server, cohort, tmp_path):
    asked = command(cohort, tmp_path / "run")
    began = time.monotonic()
    ((code, text),) = server.command(tmp_path, starter, *asked, alone=alone, meet_seconds=3, linger_seconds=1)
    assert time.monotonic() - began < 5 * 3  # PyTorch would try for minutes; 5 s where the machine is busy
    assert code == 2
    limit = f"devices: {starter} starts 2 processes; {found} within 3 s; all of them reach 127.0.0.1:"
    assert text.startswith(limit)
    assert text.endswith(f"start every process by {starter}\n")
    assert text.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", ["not shared", "broken"])
def test_a_process_that_fails_before_the_first_step_ends_both(fault, server, cohort, tmp_path):
    (tmp_path / "run-1").mkdir()
    folder, faults = ("run", {"1": {"broken": True}}) if fault == "broken" else ("run-{rank}", {})
    asked = command(cohort, tmp_path / folder, "--max-steps", 4)
    ended = server.command(tmp_path, "srun", *asked, patience_seconds=0, linger_seconds=5, faults=faults)
    first, second = ended
    assert "another process failed" not in first[1] + second[1]
    if fault == "broken":
        assert [code for code, _ in ended] == [2, 1]
        assert second[1].endswith("ZeroDivisionError: broken\n")
        return
    assert [code for code, _ in ended] == [2, 2]
    assert second[1] == (
        f"{tmp_path / 'run-1'}: complete.json is not seen on this machine; all processes see the files of the first; "
        "use a folder that all machines share\n"
    )


def test_a_checkpoint_that_the_first_cannot_write_ends_the_other_without_a_traceback(server, cohort, tmp_path):
    asked = command(cohort, tmp_path / "run", "--max-steps", 4)
    faults = {"0": {"file_bytes": 20_000}}
    ended = server.command(tmp_path, "srun", *asked, linger_seconds=1, faults=faults)
    (first, text), (second, said) = ended
    assert (first, second, said) == (2, 2, "")
    assert "File too large" in text.splitlines()[-1]


def test_a_call_after_one_that_failed_hears_nothing_of_it():
    first, second = (StartedProcesses(environment, "srun", 1) for environment in two_environments())

    def failing(group):
        with together(group):
            raise RequestError("first call", "refused") if group.is_first else ValueError(group.told())

    def told(group):
        with together(group):
            if group.is_first:
                group.tell({"call": 2})
                return {"call": 2}
            return group.told()

    with ThreadPoolExecutor(2) as threads:
        for call in [threads.submit(failing, group) for group in (first, second)]:
            with pytest.raises(RequestError, match="first call: refused"):
                call.result()
        assert [each.result() for each in [threads.submit(told, group) for group in (first, second)]] == [
            {"call": 2},
            {"call": 2},
        ]


@pytest.mark.parametrize(
    "changed",
    [
        {"SLURM_NTASKS": "1"},
        {"SLURM_JOB_NAME": "interactive"},
        {"SLURM_STEP_ID": "4294967290"},  # salloc's shell
        {"SLURM_STEP_ID": ""},  # a batch script
    ],
)
def test_one_task_and_a_shell_train_as_usual(changed, cohort, run, variables):
    variables(**STEP | changed)
    assert started_processes() is None
    train("ddpm", cohort, run, settings=settings(), budget=Budget(steps=1))
    assert reached(run) == {"stack": 1}


def test_machines_have_as_many_processes_each(variables):
    variables(**STEP, SLURM_NNODES="3")
    with pytest.raises(RequestError, match="devices: 4 processes were started on 3 machines; as many on each"):
        started_processes()


def test_tasks_on_two_machines_know_their_places(variables):
    variables(**STEP | {"SLURM_PROCID": "3", "SLURM_NODEID": "1"}, SLURM_NNODES="2", SLURM_NTASKS_PER_NODE="8")
    group = started_processes()
    assert group is not None
    assert (group.rank, group.count, group.nodes, group.on_this_node, group.is_first) == (3, 4, 2, 2, False)


def test_a_run_folder_that_is_not_shared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(medsmith.training.shared_folder, "PATIENCE_SECONDS", 0.0)
    found = "complete.json is not seen on this machine; all processes see the files of the first; use a folder that all"
    with pytest.raises(RunError, match=found):
        await_shared(tmp_path / "complete.json", tmp_path)


@pytest.mark.slow
def test_torchrun_starts_the_command(cohort, tmp_path):
    run = tmp_path / "run"
    launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", "--"]
    asked = [sys.executable, "-m", "medsmith", *map(str, command(cohort, run, "--max-steps", 4))]
    ended = subprocess.run(
        [*launched, *asked], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("weights saved") == 1
    train("ddpm", cohort, tmp_path / "usual", settings=settings(), seed=9, budget=Budget(steps=4), devices=2)
    assert (run / "weights.safetensors").read_bytes() == (tmp_path / "usual" / "weights.safetensors").read_bytes()
