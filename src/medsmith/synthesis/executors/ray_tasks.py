"""What runs on the nodes of a Ray cluster; without an import of Ray, so that it is tested without one."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from medsmith.errors import MedsmithError
from medsmith.formats.atomic import sha256_of, write_bytes
from medsmith.synthesis.messages import error_to_json

RunFiles = Mapping[str, bytes]
"""Name -> content of the files of a run folder, without those of its folders; {} for shipped weights."""


def run_files(run: str) -> RunFiles:
    """The files that a run is loaded from."""
    folder = Path(run)
    if not folder.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def run_here(run: str, files: RunFiles) -> str:
    """The run as this node has it: the folder itself if its files are those, else a copy in the temporary folder."""
    if not files or _has(Path(run), files):
        return run
    folder = Path(tempfile.gettempdir()) / f"medsmith-run-{_digest(files)[:32]}"
    if not _has(folder, files):
        for name, content in files.items():
            write_bytes(folder / name, content)
    return str(folder)


def _has(folder: Path, files: RunFiles) -> bool:
    return all(
        (folder / name).is_file() and sha256_of(folder / name) == hashlib.sha256(content).hexdigest()
        for name, content in files.items()
    )


def _digest(files: RunFiles) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


@cache
def _located(run: str, digest: str) -> str:  # the digest is a key of the cache
    return run_here(run, _FILES[digest])


_FILES: dict[str, RunFiles] = {}
"""Digest -> files of the runs that this process has received."""


def _run_of(run: str, files: RunFiles) -> str:
    """As ``run_here``, looked up once per process."""
    key = _digest(files)
    _FILES[key] = files
    return _located(run, key)


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
        local = asked.model_copy(update={"run": _run_of(asked.run, files)})
        return {"resolved": resolve_request(local, device).model_dump(mode="json")}
    except MedsmithError as error:
        return {"error": error_to_json(error)}


def make_cases(files: RunFiles, tasks: Sequence[str], out: str, spec: str, device: str) -> Mapping[str, Any]:
    """Makes cases and writes them to the cohort; those that are whole already count as made.

    Args:
        files: of the run.
        tasks: ``CaseTask``s as JSON.
        out: folder of the cohort.
        spec: its ``CohortSpec`` as JSON.
        device: of this node.

    Returns:
        ``outcomes``: one per attempt that was refused, and one per case; ``error``: one that concerns all cases.
    """
    from medsmith.synthesis.tasks import CaseTask, CohortSpec
    from medsmith.synthesis.worker import open_cohort

    outcomes: list[Mapping[str, Any]] = []
    try:
        cohort = open_cohort(Path(out), CohortSpec.model_validate_json(spec))
        for text in tasks:
            task = CaseTask.model_validate_json(text)
            local = task.model_copy(update={"run": _run_of(task.run, files)})
            outcomes += _made(local, cohort, device)
    except MedsmithError as error:
        return {"outcomes": outcomes, "error": error_to_json(error)}
    return {"outcomes": outcomes}


def _made(task: Any, cohort: Any, device: str) -> list[Mapping[str, Any]]:
    from medsmith.cases.layouts import PROVENANCE
    from medsmith.synthesis.case_synthesis import synthesize_case
    from medsmith.synthesis.rejected import keep_picture

    found: list[Mapping[str, Any]] = []
    if (cohort.root / PROVENANCE / f"{task.id}.json").exists():
        return [{"id": task.id, "status": "made", "refused": {}}]

    def refused(attempt: int, case: Any, checks: list[str]) -> None:
        keep_picture(cohort.root, task, attempt, case, checks)
        found.append({"id": task.id, "status": "rejected", "refused": dict.fromkeys(checks, 1)})

    result = synthesize_case(task, device, after_refusal=refused)
    if result.case is not None:
        cohort.write(result.case)
    status = "refused" if result.case is None else "made"
    return [*found, {"id": task.id, "status": status, "refused": json.loads(json.dumps(dict(result.refused)))}]
