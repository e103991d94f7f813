"""Processes that torchrun or SLURM's srun has started with the same command, and what they tell each other.

Their key-value store is that of ``torch.distributed``: torchrun's own, or, for a job step of SLURM, one that the first
process keeps. Only text goes through it.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, final

from medsmith.errors import MedsmithError, RequestError, error_from_json, error_to_json

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments import ClusterEnvironment
    from torch._C._distributed_c10d import Store

MEET_SECONDS = 300.0
"""Until all processes have started, are ready to train, and have ended."""
_POLL_SECONDS = 0.1
_LINGER_SECONDS = 30.0
"""Until the others know why all of them end; one that waits in the network does not come."""
_FAILED = MedsmithError("medsmith", "another process failed", cure="see its output")
_SHELLS = ("bash", "interactive")
_OF_STARTERS = (
    "TORCHELASTIC_", "SLURM_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE",
    "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
"""How the names of their variables begin."""
_SPECIAL_STEPS = 0xFFFFFFF0
"""SLURM's numbers of the steps of batch scripts and interactive shells, which are one process each, start here."""


@final
class StartedProcesses:
    """This process and those that were started with it.

    Args:
        environment: number and address of each.
        starter: the program that started them.
        nodes: number of the machines that they run on, as many on each.
    """

    def __init__(self, environment: "ClusterEnvironment", starter: str, nodes: int) -> None:
        self.environment, self.starter, self.nodes = environment, starter, nodes
        self.rank: int = environment.global_rank()
        self.count: int = environment.world_size()
        self._call = 0

    @property
    def on_this_node(self) -> int:
        """Number of those on this machine."""
        return self.count // self.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def meet(self) -> None:
        """Begin a call, together with all processes.

        Raises:
            RequestError: some do not come.
            MedsmithError: the error that one tells.
            KeyboardInterrupt: one was interrupted.
        """
        self._call += 1
        self._gather("came")

    def get_ready(self) -> None:
        """Wait until all processes are ready to train, since none leaves the process group that another waits for.

        Raises:
            RequestError: some do not get ready.
            MedsmithError: the error that one tells.
            KeyboardInterrupt: one was interrupted.
        """
        self._gather("got ready")

    def end(self) -> None:
        """Wait until all processes have ended this call.

        Raises:
            MedsmithError: the error that one tells.
            KeyboardInterrupt: one was interrupted.
        """
        with suppress(RuntimeError):  # the store is gone with the first process, which has ended
            self._count("ended")
            if not self.is_first:
                self._store.add(self._key("left"), 1)
                return
            self._count("left")  # it keeps the store

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Tells the other processes what ``told`` returns there.

        Args:
            facts: of JSON's kinds.
        """
        self._store.set(self._key("told"), json.dumps(facts))

    def told(self) -> Any:
        """What the first process tells, however long it takes.

        Raises:
            MedsmithError: the error that one tells.
            KeyboardInterrupt: one was interrupted.
        """
        try:
            while not self._store.check([self._key("told")]):
                self._raise_told_error()
                time.sleep(_POLL_SECONDS)
            return json.loads(self._store.get(self._key("told")))
        except RuntimeError:  # the store is gone, and the first process with it
            raise _FAILED from None

    def tell_error(self, error: BaseException) -> None:
        """Tells the other processes an error, or an interruption, that ends them, unless one has told another."""
        family = error if isinstance(error, MedsmithError) else _FAILED
        text = json.dumps(None if isinstance(error, KeyboardInterrupt) else error_to_json(family))
        with suppress(MedsmithError, RuntimeError):  # they never met, or the store is gone
            if self.speaks():
                self._store.set(self._key("error"), text)

    def speaks(self) -> bool:
        """Whether this process is the one that says why all of them end: the first of them to ask.

        One that never found the others speaks for itself.
        """
        try:
            speaker = self._store.compare_set(self._key("speaker"), "", str(self.rank))
        except MedsmithError:
            return True
        except RuntimeError:  # the store went with the first, which has spoken
            return self.is_first
        return int(speaker) == self.rank

    def linger(self) -> None:
        """Wait until all processes have failed, so that those that are late find the store and end the same way."""
        with suppress(MedsmithError, RuntimeError):
            self._store.add(self._key("failed"), 1)
            end = time.monotonic() + _LINGER_SECONDS
            while int(self._store.add(self._key("failed"), 0)) < self.count and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)

    def _gather(self, what: str) -> None:
        try:
            found = self._count(what)
        except RuntimeError:  # the store is gone, and the first process with it
            raise _FAILED from None
        if found < self.count:
            raise self._missing(f"{found} {what}")

    def _count(self, what: str) -> int:
        """Count this process, and wait for the others; how many were counted in time, unless one tells an error."""
        end = time.monotonic() + MEET_SECONDS
        self._store.add(self._key(what), 1)
        while (found := int(self._store.add(self._key(what), 0))) < self.count and time.monotonic() < end:
            self._raise_told_error()
            time.sleep(_POLL_SECONDS)
        return found

    def _raise_told_error(self) -> None:
        if self._store.check([self._key("error")]):
            error = json.loads(self._store.get(self._key("error")))
            raise KeyboardInterrupt if error is None else error_from_json(error)

    def _key(self, name: str) -> str:
        return f"{max(self._call, 1)}/{name}"  # an error before the first call belongs to it

    @property
    def _store(self) -> "Store":
        if isinstance(self._meeting, RequestError):
            raise self._meeting
        return self._meeting

    @cached_property
    def _meeting(self) -> "Store | RequestError":
        """The store, or why there is none; it is looked for once."""
        from torch._C._distributed_c10d import PrefixStore, TCPStore

        keeps = self.is_first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
        host, port = self.environment.main_address, self.environment.main_port
        if not (keeps or _is_reached(host, port)):  # PyTorch would print how it tries
            return self._missing("process 0 was not reached")
        try:
            # Several tenants, since the process group has the same address.
            store = TCPStore(host, port, is_master=keeps, wait_for_workers=False, multi_tenant=True)
        except (RuntimeError, ValueError):  # a port that is taken, or none
            return self._missing("the address was not to be had")
        return PrefixStore("medsmith", store)

    def _missing(self, found: str) -> RequestError:
        fact = f"{self.starter} starts {self.count} processes; {found} within {MEET_SECONDS:.0f} s"
        address = f"{self.environment.main_address}:{self.environment.main_port}"
        return RequestError("devices", fact, f"all of them reach {address}", f"start every process by {self.starter}")


@contextmanager
def together(group: StartedProcesses | None) -> Iterator[None]:
    """Inside, an error of one process ends all of them; at the end all are awaited.

    Args:
        group: None for a process that is alone.

    Raises:
        RequestError: some do not come.
        MedsmithError: the error that another tells.
        KeyboardInterrupt: another was interrupted.
    """
    if group is None:
        yield
        return
    try:
        group.meet()
        yield
        group.end()
    except BaseException as error:
        group.tell_error(error)
        raise


def _is_reached(host: str, port: int) -> bool:
    """Whether something listens at an address, as soon as it does."""
    end = time.monotonic() + MEET_SECONDS
    while (left := end - time.monotonic()) > 0:
        with suppress(OSError, OverflowError), socket.create_connection((host, port), timeout=left):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def is_first_process() -> bool:
    """Whether this process writes and speaks for all that were started with it; so does one that is alone."""
    group = started_processes()
    return group is None or group.is_first


@cache
def started_processes() -> StartedProcesses | None:
    """The processes of which this is one; None where it is alone, or starts others itself.

    Raises:
        RequestError: there are not as many on each machine.
    """
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if not (by_torchrun or _is_task_of_several()):
        return None
    # Before PyTorch is loaded, which else prints a list of addresses where the process with the store has ended.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if by_torchrun:
        count, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        if count == 1:
            return None
        from lightning.fabric.plugins.environments import TorchElasticEnvironment

        return StartedProcesses(TorchElasticEnvironment(), "torchrun", _nodes(count, count / here))
    from lightning.fabric.plugins.environments import SLURMEnvironment

    count = int(os.environ["SLURM_NTASKS"])
    nodes = _nodes(count, int(os.environ.get("SLURM_NNODES", "1")))
    # Lightning compares this with the processes of the step; where it is set, it is of the whole job.
    os.environ["SLURM_NTASKS_PER_NODE"] = str(count // nodes)
    return StartedProcesses(SLURMEnvironment(auto_requeue=False), "srun", nodes)


def environment_of_one() -> dict[str, str]:
    """The environment of a process that this one starts for itself alone: without the variables of the starter."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_STARTERS)}


def _is_task_of_several() -> bool:
    """Whether srun started this process with others; a shell and a batch script have the variables of the job too."""
    step, count = os.environ.get("SLURM_STEP_ID", ""), os.environ.get("SLURM_NTASKS", "1")
    known = step.isdecimal() and int(step) < _SPECIAL_STEPS and "SLURM_PROCID" in os.environ
    return known and int(count) > 1 and os.environ.get("SLURM_JOB_NAME") not in _SHELLS


def _nodes(count: int, nodes: float) -> int:
    if nodes != int(nodes) or count % int(nodes):
        found = f"{count} processes were started on {nodes:g} machines"
        raise RequestError("devices", found, "as many on each", "choose another number of processes")
    return int(nodes)
