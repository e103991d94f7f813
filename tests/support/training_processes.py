"""Training processes for the tests, each killed or run to its end.

Importing torch, MONAI and Lightning takes seconds, a small training run a fraction of one. ``TrainingServer`` starts a
process that imports all and computes nothing, and forks it for every job: the fork builds its networks, reads its
cohort and continues its run as a fresh process would.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

from process_stand_in import free_port

HERE = Path(__file__).parent


class TrainingServer:
    """Runs ``train`` in forked processes, one at a time."""

    def __init__(self):
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        # The level is what commands that torchrun or srun start set before they load PyTorch.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "TORCH_CPP_LOG_LEVEL": "ERROR"}
        command = [sys.executable, str(Path(__file__))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._results = self._process.stdin, self._process.stdout
        self.threads = json.loads(self._results.readline())["threads"]

    def train(self, run, cohort, **job):
        """Run ``train(cohort, run)`` in a process as ``job`` says (see ``run_job``): its status, error and seconds."""
        print(json.dumps({"run": str(run), "cohort": str(cohort), **job}), file=self._jobs, flush=True)
        return SimpleNamespace(**json.loads(self._results.readline()))

    def command(self, folder, starter, *arguments, **job):
        """Run a command in two processes that a starter has started: exit code and output of each.

        Args:
            folder: receives the output, one file per process.
            starter: "srun" or "torchrun".
            arguments: of the command; "{rank}" is the number of the process.
            job: see ``_run_ranks``.
        """
        asked = {"folder": str(folder), "starter": starter, "command": [str(each) for each in arguments]}
        asked["port"] = free_port()
        print(json.dumps(asked | job), file=self._jobs, flush=True)
        codes = json.loads(json.loads(self._results.readline())["error"])
        return [
            (code, (folder / f"output-{rank}.txt").read_text()) for rank, code in enumerate(codes, job.get("alone", 0))
        ]

    def close(self):
        self._jobs.close()
        self._results.close()
        self._process.wait(timeout=60)


def run_job(job):
    """Train as the job says; returns the line of a MedsmithError, or an empty string.

    Job:
        method, settings, preset, seed, devices: as ``train`` takes them.
        budget: fields of Budget.
        kill_at: number of the write event at which the process is killed by SIGKILL.
        file_bytes: largest size of a file.
        broken: a fault of the program when the method is built.
        no_pickle: exit with status 7 if anything is unpickled.
        hash_ranks: each process writes the hash of its weights into the run folder after each stage.
    """
    import medsmith.training.stage_loop
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import MedsmithError
    from medsmith.training import Budget, train

    import medsmith.methods  # isort: skip

    medsmith.methods.__path__.append(str(HERE / "toy_methods"))
    medsmith.training.stage_loop.LOG_EVERY = medsmith.training.previews.COUNT = 1
    _inject_faults(job)
    if job.get("hash_ranks"):
        _hash_ranks(Path(job["run"]))
    try:
        train(
            job.get("method", "pig"),
            Cohort.open(job["cohort"]),
            job["run"],
            preset=job.get("preset", "tiny"),
            settings=job["settings"],
            seed=job.get("seed", 0),
            budget=Budget(**job.get("budget", {})),
            devices=job.get("devices", 1),
        )
    except MedsmithError as error:
        return error.line
    return ""


def _run_ranks(job):
    """Exit codes of a command in two processes, which are forked with the variables of their starter.

    Job:
        folder, starter, command: see ``TrainingServer.command``; port: where they meet.
        interrupt_at: both receive SIGINT when this file is there.
        alone: the one of them that is started.
        meet_seconds, linger_seconds, patience_seconds: until all must have come, failed, and seen a file.
        faults: number of a process -> what it suffers, see ``_inject_faults``.
    """
    import signal

    import medsmith.started_processes
    import medsmith.training.shared_folder
    import medsmith.training.stage_loop

    medsmith.training.stage_loop.LOG_EVERY = medsmith.training.previews.COUNT = 1
    medsmith.started_processes.MEET_SECONDS = job.get("meet_seconds", 60.0)
    medsmith.started_processes._LINGER_SECONDS = job.get("linger_seconds", 30.0)
    medsmith.training.shared_folder.PATIENCE_SECONDS = job.get("patience_seconds", 60.0)
    children = []
    for rank in [job["alone"]] if "alone" in job else range(2):
        child = os.fork()
        if child:
            children.append(child)
            continue
        os.environ |= _variables(job["starter"], rank, job["port"])
        output = os.open(Path(job["folder"]) / f"output-{rank}.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _inject_faults(job.get("faults", {}).get(str(rank), {}))
        os._exit(_code_of([part.replace("{rank}", str(rank)) for part in job["command"]]))
    if "interrupt_at" in job:
        while not Path(job["interrupt_at"]).exists():
            time.sleep(0.05)
        for child in children:
            os.kill(child, signal.SIGINT)
    return json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])


def _code_of(command):
    from medsmith.cli import main

    code = 1
    try:
        code = main(command)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _variables(starter, rank, port):
    """What torchrun, or srun in a batch script, sets; torchrun's agent keeps the store, here the first process does."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if starter == "torchrun":
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        return meeting | ranks | {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    ranks = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0", "SLURM_NTASKS": "2"}
    step = {"SLURM_JOB_ID": "42", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "1"}
    return meeting | ranks | step | {"SLURM_NODELIST": "localhost", "SLURM_NTASKS_PER_NODE": "4"}


def _inject_faults(job):
    if "kill_at" in job:
        _kill_at(job["kill_at"])
    if "file_bytes" in job:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    if job.get("broken"):
        import medsmith.training.run

        medsmith.training.run.build_method = _broken  # type: ignore[attr-defined, assignment]
    if job.get("no_pickle"):
        sys.addaudithook(lambda event, _: os._exit(7) if event == "pickle.find_class" else None)


def _broken(_record):
    raise ZeroDivisionError("broken")


def _kill_at(number):
    """SIGKILL at the number-th write event: before and after each open, half write, fsync, replace and removal."""
    import signal

    left = [number]

    def event(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def with_events(function):
        def wrapped(*arguments, **named):
            event()
            result = function(*arguments, **named)
            event()
            return result

        return wrapped

    def halting_write(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            event()
            file.write(data[len(data) // 2 :])
        return len(data)

    os.fsync = with_events(os.fsync)
    for name, wrapped in (("replace", Path.replace), ("unlink", Path.unlink), ("write_bytes", halting_write)):
        setattr(Path, name, with_events(wrapped))


def _hash_ranks(run):
    import hashlib

    from torch.distributed.tensor import DTensor

    import medsmith.training.devices
    import medsmith.training.stage_loop
    from medsmith.networks.divided import whole
    from medsmith.runs.checkpoints import pack

    medsmith.training.devices._parallel_strategy = _forked
    train_stage = medsmith.training.stage_loop.StageLoop.train

    def train_and_hash(loop, *arguments):
        train_stage(loop, *arguments)
        tensors = loop.method.state_dict()
        digest = hashlib.sha256(pack({name: whole(tensor) for name, tensor in tensors.items()})).hexdigest()
        divided = sum(isinstance(tensor, DTensor) for tensor in tensors.values())
        (run / f"rank-{loop._fabric.global_rank}-{loop.stage.name}.txt").write_text(f"{digest}, {divided} divided")

    medsmith.training.stage_loop.StageLoop.train = train_and_hash  # type: ignore[method-assign]  # in processes forked later


def _forked(method, _start_method):
    """Forked processes of several devices: spawned ones would import all again."""
    from lightning.fabric.strategies import DDPStrategy

    several = any(len(stage.parts) > 1 for stage in method.stages())
    return DDPStrategy(start_method="fork", find_unused_parameters=several)


def _import_all():
    import torch

    from medsmith.lazy_imports import import_monai

    import_monai()
    import medsmith.methods
    import medsmith.training.run

    for name in medsmith.methods.method_names():
        medsmith.methods.method_class(name)
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # type: ignore[assignment]  # processes are killed here, and the machine is not


def _run_child(job, writer):
    try:
        os.write(writer, (_run_ranks(job) if "command" in job else run_job(job)).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def main():
    """Read jobs, one JSON a line; print status, error line and seconds of each."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import_all()
    print(json.dumps({"threads": len(os.listdir("/proc/self/task"))}), file=results, flush=True)  # noqa: PTH208
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _run_child(job, writer)
        os.close(writer)
        if "kill_after" in job:
            time.sleep(job["kill_after"])
            os.kill(child, 9)
        with os.fdopen(reader) as pipe:
            error = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        result = {"status": status, "error": error, "seconds": time.monotonic() - started}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
