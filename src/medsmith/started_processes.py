"""Processes that torchrun or SLURM's srun has started with the same command, and what they tell each other.

Their key-value store is that of ``torch.distributed``: torchrun's own, or, of a job step of SLURM, one that the first
process keeps. Nothing but texts goes through it.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, final

from medsmith.errors import MedsmithError, RequestError, error_from_json, error_to_json

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments import ClusterEnvironment
    from torch._C._distributed_c10d import Store

MEET_SECONDS = 300.0
"""Until all processes have started, and until they have ended."""
_POLL_SECONDS = 0.1
_LINGER_SECONDS = 30.0
"""Until the others know why all of them end; one that waits in the network does not come."""
_FAILED = MedsmithError("medsmith", "the first process failed", cure="see its output")
_SHELLS = ("bash", "interactive")
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
        """Wait until all processes are there.

        Raises:
            RequestError: some do not come.
        """
        self._store.add(self._key("come"), 1)
        come = self._count_to(self.count, "come", time.monotonic() + MEET_SECONDS)
        if come < self.count:
            raise self._missing(come)

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Tells the other processes what ``told`` returns there.

        Args:
            facts: of JSON's kinds.
        """
        self._store.set(self._key("told"), json.dumps(facts))

    def tell_error(self, error: BaseException) -> None:
        """Tells the other processes an error, or an interruption, that ``told`` raises there."""
        family = error if isinstance(error, MedsmithError) else _FAILED
        with suppress(MedsmithError, RuntimeError):
            self.tell({"error": None if isinstance(error, KeyboardInterrupt) else error_to_json(family)})

    def told(self) -> Any:
        """What the first process tells, however long it takes.

        Raises:
            MedsmithError: the error that it tells.
            KeyboardInterrupt: it was interrupted.
        """
        try:
            while not self._store.check([self._key("told")]):
                time.sleep(_POLL_SECONDS)
            facts = json.loads(self._store.get(self._key("told")))
        except RuntimeError:  # the store is gone, and the first process with it
            raise _FAILED from None
        if "error" not in facts:
            return facts
        if facts["error"] is None:
            raise KeyboardInterrupt
        raise error_from_json(facts["error"])

    def speaks(self) -> bool:
        """Whether this process is the one that says why all of them end: the first of them to ask."""
        try:
            speaker = self._store.compare_set(self._key("speaker"), "", str(self.rank))
        except (MedsmithError, RuntimeError):  # they never met, or the store went with the first, which has spoken
            return self.is_first
        return int(speaker) == self.rank

    def another_speaks(self) -> bool:
        """Whether another process has said why all of them end."""
        with suppress(MedsmithError, RuntimeError):
            return bool(self._store.check([self._key("speaker")])) and not self.speaks()
        return False

    def end(self) -> None:
        """Wait until all processes have ended this call."""
        self._await("ended", MEET_SECONDS)
        self._call += 1

    def linger(self) -> None:
        """Wait until all processes have failed, so that those that are late find the store and end the same way."""
        self._await("failed", _LINGER_SECONDS)

    def _await(self, what: str, seconds: float) -> None:
        """Wait for all processes to come here, but not for those that never do."""
        end = time.monotonic() + seconds
        with suppress(MedsmithError, RuntimeError):  # the store is gone, and the first process with it
            self._store.add(self._key(what), 1)
            self._count_to(self.count, what, end)
            if not self.is_first:
                self._store.add(self._key(f"{what}, seen"), 1)
            else:  # it keeps the store
                self._count_to(self.count - 1, f"{what}, seen", end)

    def _count_to(self, count: int, what: str, end: float) -> int:
        """Wait until something has been counted so often, but no longer than to the end; how often it was."""
        while (found := int(self._store.add(self._key(what), 0))) < count and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        return found

    def _key(self, name: str) -> str:
        return f"{self._call}/{name}"

    @cached_property
    def _store(self) -> "Store":
        from torch._C._distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        os.environ["MASTER_ADDR"] = self.environment.main_address
        os.environ["MASTER_PORT"] = str(self.environment.main_port)
        place = f"env://?rank={self.rank}&world_size={self.count}"
        try:
            store, _, _ = next(rendezvous(place, timeout=timedelta(seconds=MEET_SECONDS)))
        except (RuntimeError, ValueError):  # the others do not come, or not to this place
            raise self._missing(None) from None
        return PrefixStore("medsmith", store)

    def _missing(self, come: int | None) -> RequestError:
        found = "some did not come" if come is None else f"{come} came"
        limit = f"{self.starter} starts {self.count} processes; {found} within {MEET_SECONDS:.0f} s"
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        return RequestError("devices", limit, f"all of them reach {address}", f"start every process by {self.starter}")


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
    if "TORCHELASTIC_RUN_ID" in os.environ:
        count, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        if count == 1:
            return None
        from lightning.fabric.plugins.environments import TorchElasticEnvironment

        return StartedProcesses(TorchElasticEnvironment(), "torchrun", _nodes(count, count / here))
    if not _is_task_of_several():
        return None
    from lightning.fabric.plugins.environments import SLURMEnvironment

    count = int(os.environ["SLURM_NTASKS"])
    nodes = _nodes(count, int(os.environ.get("SLURM_NNODES", "1")))
    # Lightning compares this with the processes of the step; where it is set, it is of the whole job.
    os.environ["SLURM_NTASKS_PER_NODE"] = str(count // nodes)
    return StartedProcesses(SLURMEnvironment(auto_requeue=False), "srun", nodes)


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
