"""The folder in which nnU-Net works, and its programs run there step by step."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.errors import RunError
from medsmith.evaluation.downstream.arms import Arm
from medsmith.evaluation.nnunet.options import NnunetOptions
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.nnunet_environment import trainer
from medsmith.nnunet_environment.environment import NnunetEnvironment
from medsmith.nnunet_environment.programs import run_program
from medsmith.progress import silent

PLANS = "nnUNetPlans"
_RAW, _PREPROCESSED, _RESULTS, _TRAINERS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "trainer"


@final
@dataclass(frozen=True)
class Workplace:
    """Where nnU-Net works.

    Attributes:
        out: folder of the experiment.
        environment: of nnU-Net.
        options: of the experiment.
    """

    out: Path
    environment: NnunetEnvironment
    options: NnunetOptions

    def number(self, arm: Arm) -> int:
        """The id of an arm's dataset, from 1."""
        return {"real": 1, "real-and-synthetic": 2, "synthetic": 3}[arm.stem]

    def dataset(self, arm: Arm) -> str:
        """The name of an arm's dataset."""
        return f"Dataset{self.number(arm):03d}_{arm.stem.replace('-', '_')}"

    def raw(self, arm: Arm) -> Path:
        """The raw dataset of an arm."""
        return self.out / _RAW / self.dataset(arm)

    def preprocessed(self, arm: Arm) -> Path:
        """The preprocessed dataset of an arm."""
        return self.out / _PREPROCESSED / self.dataset(arm)

    def trained(self, arm: Arm, fold: int) -> Path:
        """The folder of a network."""
        name = f"{trainer.NAME}__{PLANS}__{self.options.configuration}"
        return self.out / _RESULTS / self.dataset(arm) / name / f"fold_{fold}"

    def predicted(self, arm: Arm, fold: int) -> Path:
        """The folder of a network's predictions."""
        return self.out / "predictions" / f"{arm.stem}-{fold}"

    def log(self, step: str) -> Path:
        """The log of a step."""
        return self.out / "logs" / f"{step}.log"

    def is_done(self, step: str) -> bool:
        """Whether a step came to its end, now or in an earlier call."""
        return self._record(step).exists()

    def device(self, step: str) -> str:
        """The device of a step that is done; of a training that was continued, the last one; ``unknown`` if unnamed."""
        words = read_json(self._record(step)).get("command", [])
        return str(words[words.index("-device") + 1]) if "-device" in words[:-1] else "unknown"

    def run(
        self,
        step: str,
        program: str,
        *words: object,
        watch: Callable[[str], None] = silent,
        written: Sequence[Path] = (),
    ) -> None:
        """Runs a program of nnU-Net, unless this step is done.

        Args:
            step: its name, of log and record.
            program: of the environment.
            words: after its name.
            watch: receives each line.
            written: files without which the step is not done, whatever the program says.

        Raises:
            RunError: it fails, or one of these files is missing.
        """
        if self.is_done(step):
            return
        write_bytes(self.out / _TRAINERS / trainer.FILE, trainer.SOURCE.encode())
        called = [program, *map(str, words)]
        began, log = time.monotonic(), self.log(step)
        code, lines = run_program([self.environment.program(program), *called[1:]], log, self._variables(), watch)
        if code:
            said = f"its last line: {lines[-1]}" if lines else "it said nothing"
            raise RunError(program, f"ended with code {code} ({step})", said, f"see {log}")
        if lacking := [path for path in written if not path.exists()]:
            raise RunError(lacking[0], f"was not written by nnU-Net ({step})", cure=f"see {log}")
        write_json(self._record(step), {"command": called, "seconds": round(time.monotonic() - began, 1)})

    def _record(self, step: str) -> Path:
        return self.out / "steps" / f"{step}.json"

    def _variables(self) -> Mapping[str, str]:
        """What nnU-Net reads of its environment variables."""
        options, folder = self.options, self.out.absolute()
        training = {"epochs": options.epochs, "iterations": options.iterations, "seed": options.seed}
        return {
            **{name: str(folder / name) for name in (_RAW, _PREPROCESSED, _RESULTS)},
            "nnUNet_extTrainer": str(folder / _TRAINERS),
            "nnUNet_n_proc_DA": str(options.workers),
            "nnUNet_def_n_proc": str(options.workers),
            trainer.VARIABLE: json.dumps(training),
        }
