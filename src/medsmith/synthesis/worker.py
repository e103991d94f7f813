"""A process that makes cases: ``python -m medsmith.synthesis.worker``, driven through its standard streams.

It ends with its coordinator: its standard input closes then. What it or a library prints goes to standard error,
which the coordinator keeps as the log of the case.
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

from medsmith.errors import MedsmithError
from medsmith.synthesis.messages import Message, encoded, error_to_json

if TYPE_CHECKING:
    from medsmith.cases.cohort import Cohort
    from medsmith.synthesis.tasks import CohortSpec

ALIVE_SECONDS = 1.0


@final
class _Line:
    """The two directions of talk with the coordinator."""

    def __init__(self) -> None:
        self._out = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def say(self, message: Message) -> None:
        """Send one message; ends the process if nobody is there to hear it."""
        line = encoded(message)
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._out, line) :]
            except OSError:
                os._exit(1)

    def hear(self) -> Any:
        """The next message, as parsed JSON."""
        return json.loads(self._heard.get())

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            self._heard.put(line)
        os._exit(0)

    def _beat(self) -> None:
        while True:
            self.say({"is": "alive"})
            time.sleep(ALIVE_SECONDS)


def main() -> None:
    """Load the run of a request, then make case after case."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    line = _Line()
    try:
        _work(line)
    except MedsmithError as error:
        line.say({"is": "stop", "error": error_to_json(error)})
    except Exception as error:
        line.say(_broken(error))


def _work(line: _Line) -> None:
    asked = line.hear()
    device = asked["device"]
    from medsmith.synthesis.tasks import SynthesisRequest

    request = SynthesisRequest.model_validate(asked["request"])
    from medsmith.synthesis.devices import check_present

    check_present(request.devices)
    from medsmith.lazy_imports import import_monai

    import_monai()
    from medsmith.synthesis.making import settle

    settled = settle(request, device)
    line.say({"is": "ready", "settled": settled.model_dump(mode="json")})
    cohorts: dict[str, Cohort] = {}
    while True:
        asked = line.hear()
        if asked["out"] not in cohorts:
            cohorts[asked["out"]] = open_cohort(Path(asked["out"]), settled.spec)
        try:
            line.say(_make(line, cohorts[asked["out"]], asked["task"], device))
        except MedsmithError:
            raise
        except Exception as error:
            line.say(_broken(error))


def _broken(error: Exception) -> Message:
    traceback.print_exception(error)
    sys.stderr.flush()
    return {"is": "broken", "trace": traceback.format_exception_only(error)[-1].strip()}


def _make(line: _Line, cohort: "Cohort", task: Any, device: str) -> Message:
    from medsmith.synthesis.making import make_case
    from medsmith.synthesis.tasks import CaseTask

    def say_drawing(attempt: int) -> None:
        line.say({"is": "drawing", "attempt": attempt})

    result = make_case(CaseTask.model_validate(task), device, say_drawing)
    if result.case is None:
        return {"is": "refused", "refused": dict(result.refused)}
    cohort.write(result.case)
    return {"is": "made"}


def open_cohort(out: Path, spec: "CohortSpec") -> "Cohort":
    """The cohort that cases of this kind are written to, made if it is missing."""
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
