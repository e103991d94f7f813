"""What runs on the nodes of a Ray cluster; without an import of Ray, so that it is tested without one."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from medsmith.errors import MedsmithError, error_to_json
from medsmith.formats.atomic import sha256_of, write_bytes

if TYPE_CHECKING:
    from medsmith.synthesis.tasks import CaseTask


@final
@dataclass(frozen=True)
class RunFiles:
    """What a run is loaded from, for nodes that do not have it.

    Attributes:
        content: name -> content of the files of the run folder, without those of its folders; {} for shipped weights.
        digest: SHA-256 of all of it.
    """

    content: Mapping[str, bytes]
    digest: str

    @classmethod
    def of(cls, run: str) -> "RunFiles":
        """The files of a run folder, or of shipped weights, which every node has."""
        folder, digest = Path(run), hashlib.sha256()
        if not folder.is_dir():
            return cls({}, "")
        content = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        for name, data in content.items():
            digest.update(f"{name} {len(data)}\n".encode())
            digest.update(data)
        return cls(content, digest.hexdigest())

    def located(self, run: str) -> str:
        """The run as this node has it: the folder if its files are these, else a copy in the temporary folder."""
        if not self.content:
            return run
        return _LOCATED.get((run, self.digest)) or self._found(run)

    def _found(self, run: str) -> str:
        folder = Path(run)
        if not self._are_in(folder):
            folder = Path(tempfile.gettempdir()) / f"medsmith-run-{self.digest[:32]}"
            if not self._are_in(folder):
                for name, data in self.content.items():
                    write_bytes(folder / name, data)
        _LOCATED[run, self.digest] = str(folder)
        return str(folder)

    def _are_in(self, folder: Path) -> bool:
        return all(
            (folder / name).is_file() and sha256_of(folder / name) == hashlib.sha256(data).hexdigest()
            for name, data in self.content.items()
        )


_LOCATED: dict[tuple[str, str], str] = {}
"""Run and digest -> the folder that this process loads it from; looked up once."""


def resolve(files: RunFiles, request: str, device: str) -> Mapping[str, Any]:
    """The resolved request, or the error that says why there is none.

    Args:
        files: of the run.
        request: a ``SynthesisRequest`` as JSON.
        device: of this node.
    """
    from medsmith.synthesis.case_synthesis import resolve_request
    from medsmith.synthesis.tasks import SynthesisRequest

    asked = SynthesisRequest.model_validate_json(request)
    try:
        local = asked.model_copy(update={"run": files.located(asked.run), "devices": (device,)})
        return {"resolved": resolve_request(local, device).model_dump(mode="json")}
    except MedsmithError as error:
        return {"error": error_to_json(error)}


def make_cases(files: RunFiles, tasks: Sequence[str], out: str, spec: str, device: str) -> Mapping[str, Any]:
    """Makes cases and writes them to the cohort; those that are whole already count as made.

    Args:
        files: of the run.
        tasks: ``CaseTask``s of one recipe as JSON, at least one.
        out: folder of the cohort.
        spec: its ``CohortSpec`` as JSON.
        device: of this node.

    Returns:
        ``outcomes``: one per attempt that was refused, and one per case; ``error``: one that concerns all cases.

    Raises:
        OSError: the storage failed.
    """
    from medsmith.networks.threads import one_thread
    from medsmith.synthesis.case_synthesis import load
    from medsmith.synthesis.tasks import CaseTask, CohortSpec
    from medsmith.synthesis.worker import writer_of

    outcomes: list[Mapping[str, Any]] = []
    asked = [CaseTask.model_validate_json(text) for text in tasks]
    local = [task.model_copy(update={"run": files.located(task.run)}) for task in asked]
    try:
        writer = writer_of(Path(out), CohortSpec.model_validate_json(spec))
        load(local[0].run, local[0].loader, device)  # once, before there are threads
        rows = groupby(sorted(local, key=_row), key=_row)
        # The number of threads of a network is one of the process: no row may set it back while another samples.
        with one_thread(), ThreadPoolExecutor(local[0].recipe.batch) as threads:
            made = [threads.submit(_made_in_turn, list(row), writer, device, outcomes) for _, row in rows]
        for each in made:
            each.result()
    except MedsmithError as error:
        if isinstance(error.__cause__, OSError):  # of the storage: for Ray to try again
            raise error.__cause__ from error
        return {"outcomes": outcomes, "error": error_to_json(error)}
    return {"outcomes": outcomes}


def _row(task: "CaseTask") -> int:
    return task.recipe.row(task.index)


def _made_in_turn(tasks: Sequence["CaseTask"], writer: Any, device: str, outcomes: list[Mapping[str, Any]]) -> None:
    """Makes the cases of a row of the batch, and appends what became of them."""
    for task in tasks:
        outcomes.extend(_made(task, writer, device))


def _made(task: Any, writer: Any, device: str) -> list[Mapping[str, Any]]:
    from medsmith.cases.nnunet_folder import PROVENANCE
    from medsmith.synthesis.case_synthesis import synthesize_case
    from medsmith.synthesis.rejected import keep_picture

    found: list[Mapping[str, Any]] = []
    if (writer.root / PROVENANCE / f"{task.id}.json").exists():
        return [{"id": task.id, "status": "made", "refused": {}}]

    def refused(attempt: int, case: Any, checks: list[str]) -> None:
        keep_picture(writer.root, task, attempt, case, checks)
        found.append({"id": task.id, "status": "rejected", "refused": dict.fromkeys(checks, 1)})

    result = synthesize_case(task, device, after_refusal=refused)
    if result.case is not None:
        writer.write(result.case)
    status = "refused" if result.case is None else "made"
    counts = json.loads(json.dumps({"refused": dict(result.refused), "missed": result.missed.model_dump(mode="json")}))
    return [*found, {"id": task.id, "status": status, **counts}]
