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

HERE = Path(__file__).parent


class TrainingServer:
    """Runs ``train`` in forked processes, one at a time."""

    def __init__(self):
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
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


def _inject_faults(job):
    if "kill_at" in job:
        _kill_at(job["kill_at"])
    if "file_bytes" in job:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    if job.get("no_pickle"):
        sys.addaudithook(lambda event, _: os._exit(7) if event == "pickle.find_class" else None)


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

    import medsmith.training.run
    import medsmith.training.stage_loop
    from medsmith.networks.divided import whole
    from medsmith.runs.checkpoints import pack

    medsmith.training.run._parallel_strategy = _forked
    train_stage = medsmith.training.stage_loop.StageLoop.train

    def train_and_hash(loop, *arguments):
        train_stage(loop, *arguments)
        tensors = loop.method.state_dict()
        digest = hashlib.sha256(pack({name: whole(tensor) for name, tensor in tensors.items()})).hexdigest()
        divided = sum(isinstance(tensor, DTensor) for tensor in tensors.values())
        (run / f"rank-{loop._fabric.global_rank}-{loop.stage.name}.txt").write_text(f"{digest}, {divided} divided")

    medsmith.training.stage_loop.StageLoop.train = train_and_hash  # type: ignore[method-assign]  # in processes forked later


def _forked(method):
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
        os.write(writer, run_job(job).encode())
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
