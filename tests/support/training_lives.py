"""Training processes for the tests, each killed or left to end.

Importing torch, MONAI and Lightning takes seconds, a life of a small run a fraction of one. ``Nursery`` starts one
process that imports all and computes nothing, and forks it for every life: a life builds its networks, reads its cohort
and continues its run by itself, as a fresh process would.
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


class Nursery:
    """Lives of ``train``, one at a time."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
        command = [sys.executable, str(Path(__file__))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self.threads = json.loads(self._answers.readline())["threads"]

    def live(self, run, cohort, **order):
        """One life: ``train(cohort, run)`` as ``order`` says (see ``life``); how it ended, and after how long."""
        print(json.dumps({"run": str(run), "cohort": str(cohort), **order}), file=self._orders, flush=True)
        return SimpleNamespace(**json.loads(self._answers.readline()))

    def close(self):
        self._orders.close()
        self._answers.close()
        self._process.wait(timeout=60)


def life(order):
    """Train as ordered; returns the line of an error of the family, or nothing.

    Order:
        method, settings, preset, seed, devices: as ``train`` takes them.
        budget: fields of Budget.
        die_at: number of the write event to die at, by SIGKILL.
        file_bytes: largest file the disk takes.
        no_pickle: end with status 7 if anything is unpickled.
        note_ranks: each process writes the hash of its weights into the run folder after each stage.
    """
    import medsmith.training.stage_loop
    from medsmith.cases.cohort import Cohort
    from medsmith.errors import MedsmithError
    from medsmith.training import Budget, train

    import medsmith.methods  # isort: skip

    medsmith.methods.__path__.append(str(HERE / "methods_of_tests"))
    medsmith.training.stage_loop.LOG_EVERY = medsmith.training.previews.COUNT = 1
    _misfortunes(order)
    if order.get("note_ranks"):
        _note_ranks(Path(order["run"]))
    try:
        train(
            order.get("method", "pig"),
            Cohort.open(order["cohort"]),
            order["run"],
            preset=order.get("preset", "tiny"),
            settings=order["settings"],
            seed=order.get("seed", 0),
            budget=Budget(**order.get("budget", {})),
            devices=order.get("devices", 1),
        )
    except MedsmithError as error:
        return error.line
    return ""


def _misfortunes(order):
    if "die_at" in order:
        _die_at(order["die_at"])
    if "file_bytes" in order:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], order["file_bytes"]))
    if order.get("no_pickle"):
        sys.addaudithook(lambda event, _: os._exit(7) if event == "pickle.find_class" else None)


def _die_at(number):
    """SIGKILL at the number-th write event: before and after each open, half write, fsync, replace and removal."""
    import signal

    left = [number]

    def event(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(function):
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

    os.fsync = around(os.fsync)
    for name, wrapped in (("replace", Path.replace), ("unlink", Path.unlink), ("write_bytes", halting_write)):
        setattr(Path, name, around(wrapped))


def _note_ranks(run):
    import hashlib

    import medsmith.training.run
    import medsmith.training.stage_loop
    from medsmith.runs.checkpoints import pack

    medsmith.training.run._parallel_strategy = _forked
    train_stage = medsmith.training.stage_loop.StageLoop.train

    def noted(loop, *arguments):
        train_stage(loop, *arguments)
        digest = hashlib.sha256(pack(loop.method.state_dict())).hexdigest()
        (run / f"rank-{loop._fabric.global_rank}-{loop.stage.name}.txt").write_text(digest)

    medsmith.training.stage_loop.StageLoop.train = noted  # type: ignore[method-assign]  # for processes that are forked next


def _forked(method):
    """Processes of a life that is forked itself: starting them afresh would import all again."""
    from lightning.fabric.strategies import DDPStrategy

    several = any(len(stage.parts) > 1 for stage in method.stages())
    return DDPStrategy(start_method="fork", find_unused_parameters=several)


def _warm():
    import torch

    import medsmith.methods
    import medsmith.training.run

    for name in medsmith.methods.method_names():
        medsmith.methods.method_class(name)
    torch.set_num_threads(1)


def _born(order, writer):
    try:
        os.write(writer, life(order).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def main():
    """Reads orders, one JSON a line; answers each with status and error line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _warm()
    print(json.dumps({"threads": len(os.listdir("/proc/self/task"))}), file=answers, flush=True)  # noqa: PTH208
    for line in sys.stdin:
        order = json.loads(line)
        reader, writer = os.pipe()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _born(order, writer)
        os.close(writer)
        if "kill_after" in order:
            time.sleep(order["kill_after"])
            os.kill(child, 9)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = {"status": status, "error": said, "seconds": time.monotonic() - started}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
