"""The worker process, ``python -m medsmith.synthesis.worker``, controlled through its standard streams.

It exits when its coordinator does, which closes its standard input. Output of the worker and its libraries goes to
standard error, which the coordinator keeps as the log of the case.
"""

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from medsmith.errors import MedsmithError, error_to_json, is_out_of_memory
from medsmith.synthesis.messages import Message, encoded

if TYPE_CHECKING:
    from medsmith.cases.case import Case
    from medsmith.cases.case_writer import CaseWriter
    from medsmith.cases.cohort import Cohort
    from medsmith.synthesis.tasks import CohortSpec

HEARTBEAT_SECONDS = 1.0


@final
class _Channel:
    """Messages from and to the coordinator."""

    def __init__(self) -> None:
        self._out = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()
        self._received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._send_heartbeats, daemon=True).start()

    def send(self, message: Message) -> None:
        """Send one message; exits the process if the coordinator is gone."""
        line = encoded(message)
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._out, line) :]
            except OSError:
                os._exit(1)

    def receive(self) -> Any:
        """The next message, as parsed JSON."""
        return json.loads(self._received.get())

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            self._received.put(line)
        os._exit(0)

    def _send_heartbeats(self) -> None:
        while True:
            self.send({"type": "alive"})
            time.sleep(HEARTBEAT_SECONDS)


def main() -> None:
    """Load the run of the request, then run case tasks until the coordinator exits."""
    for number in {signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)}:  # of the terminal, to all: its to obey
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    channel = _Channel()
    try:
        _work(channel)
    except MedsmithError as error:
        channel.send({"type": "stop", "error": error_to_json(error)})
    except Exception as error:
        fault = _fault(error)
        channel.send({"type": "stop", "error": error_to_json(fault)} if fault else _trace(error) | {"type": "unusable"})


def _work(channel: _Channel) -> None:
    message = channel.receive()
    device = message["device"]
    from medsmith.synthesis.tasks import LOADER, SynthesisRequest

    request = SynthesisRequest.model_validate(message["request"])
    from medsmith.synthesis.devices import check_present

    check_present(request.devices)
    if request.loader == LOADER:  # another loader may not need MONAI
        from medsmith.lazy_imports import import_monai

        import_monai()
    from medsmith.synthesis.case_synthesis import resolve_request

    resolved = resolve_request(request, device)
    channel.send({"type": "ready", "resolved": resolved.model_dump(mode="json")})
    rows = [_Row(channel, resolved.spec, device) for _ in range(resolved.recipe.batch)]
    while True:
        message = channel.receive()
        rows[resolved.recipe.row(message["task"]["index"])].give(message)


@final
class _Row:
    """A thread that makes the cases of one row of the batch, one after the other.

    Args:
        channel: to the coordinator.
        spec: of the cohort of the cases.
        device: of the networks.
    """

    def __init__(self, channel: _Channel, spec: "CohortSpec", device: str) -> None:
        self._channel, self._spec, self._device = channel, spec, device
        self._given: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def give(self, message: Message) -> None:
        """Takes one more task."""
        self._given.put(message)

    def _work(self) -> None:
        try:
            while True:
                self._make(self._given.get())
        except MedsmithError as error:
            self._channel.send({"type": "stop", "error": error_to_json(error)})
        except BaseException as error:
            traceback.print_exception(error)
            sys.stderr.flush()
            os._exit(1)

    def _make(self, message: Message) -> None:
        writer, index = writer_of(Path(message["out"]), self._spec), message["task"]["index"]
        try:
            self._channel.send(_run_task(self._channel, writer, message["task"], self._device) | {"index": index})
        except MedsmithError:
            raise
        except Exception as error:
            answer = _trace(error) | {"type": "broken", "index": index}
        else:
            return
        from medsmith.networks.memory import free_memory

        free_memory()  # before the case is tried again, here or by another worker on the same device
        self._channel.send(answer)


def _trace(error: Exception) -> dict[str, Any]:
    """An unexpected exception in a line; the whole goes to the log."""
    traceback.print_exception(error)
    sys.stderr.flush()
    return {"trace": _in_words(error)}


def _in_words(error: Exception) -> str:
    if is_out_of_memory(error):
        return "out of memory, in the smallest pieces too; use fewer workers, or a run with smaller settings"
    fault = _fault(error)
    return f"{fault.subject} {fault.found}" if fault else traceback.format_exception_only(error)[-1].strip()


def _fault(error: Exception) -> MedsmithError | None:
    """What a method from elsewhere raised; None if it is not one's."""
    from medsmith.methods.elsewhere import fault_of

    return fault_of(error)


def _run_task(channel: _Channel, writer: "CaseWriter", task: Any, device: str) -> dict[str, Any]:
    from medsmith.synthesis.case_synthesis import synthesize_case
    from medsmith.synthesis.rejected import keep_picture
    from medsmith.synthesis.tasks import CaseTask

    asked = CaseTask.model_validate(task)

    def report_attempt(attempt: int) -> None:
        channel.send({"type": "attempt", "index": asked.index, "attempt": attempt})

    def report_refusal(attempt: int, case: "Case", checks: list[str]) -> None:
        keep_picture(writer.root, asked, attempt, case, checks)
        channel.send({"type": "rejected", "index": asked.index, "checks": checks})

    result = synthesize_case(asked, device, report_attempt, report_refusal)
    if result.case is None:
        return {"type": "refused", "refused": dict(result.refused), "missed": result.missed.model_dump(mode="json")}
    writer.write(result.case)
    return {"type": "made"}


def writer_of(out: Path, spec: "CohortSpec") -> "CaseWriter":
    """Writes cases to the cohort that the coordinator has opened; its cases are not listed, however many there are."""
    from medsmith.cases.case_files import Layout
    from medsmith.cases.case_writer import CaseWriter

    return CaseWriter(out, Layout(spec.channel_names, spec.label_names, spec.file_ending, {}))


def open_cohort(out: Path, spec: "CohortSpec") -> "Cohort":
    """Open the cohort that the cases are written to; created if missing."""
    from medsmith.cases.cohort import Cohort
    from medsmith.synthesis.tasks import NOTICE

    return Cohort.create(
        out,
        channel_names=spec.channel_names,
        label_names=spec.label_names,
        file_ending=spec.file_ending,
        description=NOTICE,
    )


if __name__ == "__main__":
    main()
