"""An executor on a Ray cluster: tasks of a few cases each, idempotent by the files that they write.

The cohort's folder, and what a request names (templates, guides), must lie on storage that every node shares. The run
need not: its files are put into the object store once, and a node that does not see the run folder, or sees another
content there, uses those.

A task whose node died is run again by Ray; it finds the cases that are whole by their provenance and does not make them
twice. Cases of a worker that crashed are tried again one at a time; one that crashes it three times is lost.
"""

import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, final

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from medsmith.errors import RequestError, SynthesisError, error_from_json
from medsmith.synthesis.devices import kind_of
from medsmith.synthesis.executors.base import Outcome, StartExecutor, Timeouts
from medsmith.synthesis.executors.ray_tasks import RunFiles, make_cases, resolve
from medsmith.synthesis.missed import Misses
from medsmith.synthesis.tasks import CaseTask, ResolvedRequest, SynthesisRequest

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_TICK_SECONDS = 0.2
_IN_FLIGHT = 2
"""Tasks per CPU of the cluster that are queued with Ray: thousands at once stall it."""
_NODE_RETRIES = 5
_MAX_CRASHES = 2


@final
@dataclass(frozen=True)
class RayOptions:
    """Where and how tasks run.

    Attributes:
        address: of the cluster, such as ``auto``; None starts Ray on this machine for the call.
        cases_per_task: cases of one task; more cost less overhead and are lost together with their node.
        gpus: share of a GPU that a task takes, where the device is CUDA; .25 puts four on one GPU.
    """

    address: str | None = None
    cases_per_task: int = 4
    gpus: float = 1.0

    def __post_init__(self) -> None:
        if self.cases_per_task < 1 or not self.gpus > 0:
            found = f"{self.cases_per_task} cases per task, {self.gpus:g} GPUs"
            raise RequestError("ray", found, "at least one case, and more than 0 GPUs", "correct them")


def ray_executor(options: RayOptions) -> StartExecutor:
    """What ``SynthesisOptions.executor`` takes."""
    return partial(RayExecutor, options=options)


@final
class RayExecutor:
    """Ray tasks that synthesize the cases of one request (``Executor``).

    Args:
        request: names the run to load.
        workers: ignored: the CPUs of the cluster decide, also those of nodes that join later.
        timeouts: that for loading holds for the first task; a hung task is Ray's to find.
        stop: returns True once the synthesis is to be interrupted.
        options: where and how tasks run.
    """

    def __init__(
        self,
        request: SynthesisRequest,
        workers: int,  # noqa: ARG002  (of the protocol)
        timeouts: Timeouts,
        stop: Callable[[], bool],
        options: RayOptions,
    ) -> None:
        self._request, self._timeouts, self._stop, self._options = request, timeouts, stop, options
        self._running: dict[ray.ObjectRef, tuple[CaseTask, ...]] = {}
        self._crashes: Counter[str] = Counter()
        self._resolved: ResolvedRequest | None = None
        self._files: ray.ObjectRef | None = None
        self._started = False

    def __enter__(self) -> "RayExecutor":
        if not ray.is_initialized():
            _connect(self._options.address)
            self._started = True
        self._files = ray.put(RunFiles.of(self._request.run))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._running:
            ray.cancel(reference, force=True)
        if self._running:
            ray.wait(list(self._running), num_returns=len(self._running), timeout=self._timeouts.heartbeat)
        self._running.clear()
        if self._started:
            ray.shutdown()

    def resolve(self) -> ResolvedRequest:
        """As ``Executor.resolve``."""
        if self._resolved is None:
            reference = self._remote(resolve, self._files, self._request.model_dump_json(), self._device)
            answer = self._waited(reference)
            if "error" in answer:
                raise error_from_json(answer["error"])
            self._resolved = ResolvedRequest.model_validate(answer["resolved"])
        return self._resolved

    def submit(self, tasks: Iterable[CaseTask], out: Path) -> Iterator[Outcome]:
        """As ``Executor.submit``."""
        source, alone = iter(tasks), deque[CaseTask]()
        while self._fill(source, alone, out) or self._running:
            if self._stop():
                raise KeyboardInterrupt
            ready, _ = ray.wait(list(self._running), timeout=_TICK_SECONDS)
            for reference in ready:
                yield from self._outcomes(reference, self._running.pop(reference), alone)

    @property
    def _device(self) -> str:
        """Of every task: of a node's GPUs Ray shows it its own alone."""
        return kind_of(self._request.devices[0])

    def _remote(self, function: Callable[..., Any], *arguments: Any) -> ray.ObjectRef:
        """Starts a function as a task; I/O errors and dead nodes are Ray's to retry, other errors are not."""
        gpus = self._options.gpus if self._device != "cpu" else 0
        environment = {"env_vars": _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
        asked = {"num_gpus": gpus, "max_retries": _NODE_RETRIES, "retry_exceptions": [OSError]}
        return ray.remote(function).options(runtime_env=environment, **asked).remote(*arguments)

    def _waited(self, reference: ray.ObjectRef) -> Mapping[str, Any]:
        left = self._timeouts.load
        while True:
            if self._stop():
                raise KeyboardInterrupt
            try:
                answer: Mapping[str, Any] = ray.get(reference, timeout=_TICK_SECONDS)
            except GetTimeoutError:
                left -= _TICK_SECONDS
                if left <= 0:
                    found = f"not loaded in {self._timeouts.load:.0f} s"
                    raise SynthesisError(
                        self._request.run, found, cure="see whether the cluster has a free CPU"
                    ) from None
            except RayError as error:
                raise SynthesisError(self._request.run, f"cannot be loaded ({_last_line(error)})") from None
            else:
                return answer

    def _fill(self, source: Iterator[CaseTask], alone: deque[CaseTask], out: Path) -> bool:
        """Starts tasks up to the bound; whether any runs."""
        bound = _IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while len(self._running) < bound:
            most = -(-self._options.cases_per_task // self._request.batch) * self._request.batch  # whole batches
            tasks = tuple(islice(source, most)) or ((alone.popleft(),) if alone else ())
            if not tasks:
                break
            listed = [task.model_dump_json() for task in tasks]
            spec = self.resolve().spec.model_dump_json()
            reference = self._remote(make_cases, self._files, listed, str(out.absolute()), spec, self._device)
            self._running[reference] = tasks
        return bool(self._running)

    def _outcomes(
        self, reference: ray.ObjectRef, tasks: Sequence[CaseTask], alone: deque[CaseTask]
    ) -> Iterator[Outcome]:
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            yield from self._crashed(tasks, _last_line(error), alone)
            return
        except RayError as error:
            yield from self._crashed(tasks, type(error).__name__, alone)
            return
        known = {task.id: task for task in tasks}
        for made in answer["outcomes"]:
            missed = Misses.model_validate(made.get("missed", {}))
            yield Outcome(known[made["id"]], made["status"], refused=made["refused"], missed=missed)
        if "error" in answer:
            raise error_from_json(answer["error"])

    def _crashed(self, tasks: Sequence[CaseTask], reason: str, alone: deque[CaseTask]) -> Iterator[Outcome]:
        """Queues the cases of a task again, one at a time; those that have crashed too often are lost."""
        for task in tasks:
            self._crashes[task.id] += 1
            if self._crashes[task.id] > _MAX_CRASHES:
                yield Outcome(task, "lost", reason=reason)
            else:
                alone.append(task)


def _connect(address: str | None) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        found = f"no cluster at {address} ({_last_line(error)})"
        raise RequestError("--address", found, "a running cluster", "start one: ray start --head") from None
    finally:
        if signal.getsignal(signal.SIGTERM) != before:  # Ray has a handler of its own, which ends without saving
            signal.signal(signal.SIGTERM, before)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
