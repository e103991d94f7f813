"""Synthesis of one checked case from one task: the unit of work of every executor."""

import hashlib
import importlib
import platform
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, final

import torch
from pydantic import BaseModel

from medsmith.cases.case import Case
from medsmith.diffusion import Sampling, derive_seed, solver_names
from medsmith.diffusion.solvers import solver_version_of
from medsmith.errors import RequestError, RunError, similar
from medsmith.methods.config import validated
from medsmith.methods.elsewhere import version_of
from medsmith.networks.memory import noting_smaller_pieces
from medsmith.networks.micro_batch import MicroBatch, let_join
from medsmith.networks.threads import one_thread
from medsmith.synthesis.checks.finished import check_case
from medsmith.synthesis.checks.result import CheckResult, gave_up_on_misses
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.devices import check_present, kind_of
from medsmith.synthesis.missed import Misses, missed_values
from medsmith.synthesis.references import find_references, with_paths, without_paths
from medsmith.synthesis.tasks import (
    NOTICE,
    CaseTask,
    CohortSpec,
    Recipe,
    ResolvedRequest,
    SynthesisRequest,
    canonical_hash,
)
from medsmith.synthesis.unchanged import of_unchanged_inputs

if TYPE_CHECKING:
    from medsmith.methods.base import Method

_LIBRARIES = ("medsmith", "torch", "monai", "numpy", "scipy", "nibabel", "pillow")
_BATCHES: dict[int, MicroBatch] = {}
"""Number of rows -> the batch that the threads of this process share."""


@final
@dataclass(frozen=True, eq=False)
class CaseResult:
    """The result of a task.

    Attributes:
        case: the case with its provenance; None if the checks refused every attempt.
        refused: check -> number of attempts it refused.
        missed: what the attempts missed of what was requested of lesions, or why these have no place.
    """

    case: Case | None
    refused: Mapping[str, int]
    missed: Misses = field(default_factory=Misses)


@cache
def load(run: str, loader: str, device: str) -> "Method":
    """The run's method, loaded once per process."""
    module, _, function = loader.partition(":")
    method: Method = getattr(importlib.import_module(module), function)(run, device=device)
    return method


def resolve_request(request: SynthesisRequest, device: str) -> ResolvedRequest:
    """Fill in the defaults of a request, find the files that it names, and validate it for the method.

    Args:
        request: the request.
        device: device on which this process loads the run.

    Raises:
        RunError: the run cannot be loaded.
        RequestError: a missing device, an unknown key in the request, or a solver or steps that the method's schedule
            does not allow.
    """
    check_present((*request.devices, device))
    method = load(request.run, request.loader, device)
    assert isinstance(method.config, BaseModel)
    solver, steps = resolve_sampling(method.config, request.solver, request.steps)
    conditions = validated(method.Request, "request", request.request)
    facts = method.output_fingerprint(conditions)
    references = find_references(conditions)
    recipe = Recipe(
        method=method.name,
        weights_hash=method.weights_hash,
        memory_hash=_memory_hash(method.memory),
        config_hash=canonical_hash(method.config.model_dump(mode="json")),
        device=kind_of(device),
        precision=method.precision,
        seed=request.seed,
        request=without_paths(conditions, references),
        inputs={},
        solver=solver,
        steps=steps,
        limits=request.limits,
        batch=request.batch,
    )
    spec = CohortSpec(channel_names=facts.channel_names, label_names=facts.label_names, file_ending=facts.file_ending)
    return ResolvedRequest(recipe=recipe, spec=spec, references=references)


def resolve_sampling(config: Any, solver: str | None, steps: int | None) -> tuple[str, int]:
    """Solver and steps of a request.

    Args:
        config: of the method.
        solver: None takes the method's.
        steps: None takes the method's.

    Raises:
        RequestError: an unknown solver, steps that the method's schedule does not allow, or a method that does not
            sample.
    """
    defaults: Sampling = config.sampling
    assert isinstance(config, BaseModel)
    if "sampling" not in type(config).model_fields:
        for name, value, default in (("solver", solver, defaults.solver), ("steps", steps, defaults.steps)):
            if value not in (None, default):
                raise RequestError(name, f"{value}", "this method samples nothing", "leave it out")
        return defaults.solver, defaults.steps
    solver, steps = defaults.solver if solver is None else solver, defaults.steps if steps is None else steps
    if solver not in (names := solver_names()):
        raise RequestError(
            "solver", f"'{solver}' is not known", f"there are {', '.join(names)}", similar(solver, names)
        )
    if steps < 1:
        raise RequestError("steps", f"{steps}", "at least 1")
    sampling = defaults.override(solver, steps).model_dump(mode="json")
    validated(type(config), "sampling", {**config.model_dump(mode="json"), "sampling": sampling})
    return solver, steps


def _memory_hash(memory: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(memory.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _ignored(*_arguments: object) -> None:
    """Listens to nothing."""


def synthesize_case(
    task: CaseTask,
    device: str,
    before_attempt: Callable[[int], None] = _ignored,
    after_refusal: Callable[[int, Case, list[str]], None] = _ignored,
) -> CaseResult:
    """Synthesize a case, with new seeds until it passes every check.

    The result depends on the task alone: each attempt has its own seed, and sampling runs on one thread in a row of a
    batch of fixed size, since threads and batch size change the rounding. Threads that make cases of other rows at the
    same time share its passes.

    Args:
        task: the case.
        device: device on which this process loads the run.
        before_attempt: called with the attempt's number, from 0, before each attempt; serves as a heartbeat.
        after_refusal: called with an attempt's number, its case and the checks that refused it.

    Raises:
        RunError: the weights differ from those of the recipe.
        RequestError: the request is invalid for the method.
        SynthesisError: a cohort or file that the request names is not what was hashed.
    """
    method = load(task.run, task.loader, device)
    if method.weights_hash != task.recipe.weights_hash:
        raise RunError(task.run, "the weights have changed", "one cohort has one set of weights", "restore them")
    conditions = validated(method.Request, "request", with_paths(task.recipe.request, task.paths))

    def make() -> CaseResult:
        request = method.request_of_case(conditions, task.index)
        try:
            return _checked(method, request, task, before_attempt, after_refusal)
        except RequestError as error:
            if request is conditions:
                raise
            # A report of this case alone, which says nothing of the others.
            return CaseResult(None, {}, Misses(unplaced=error.line))

    return of_unchanged_inputs(task, conditions, make)


def _checked(
    method: "Method",
    request: BaseModel,
    task: CaseTask,
    before_attempt: Callable[[int], None],
    after_refusal: Callable[[int, Case, list[str]], None],
) -> CaseResult:
    """A case that passes every check, or none after the last attempt, or after too many that missed the request."""
    recipe, limits = task.recipe, task.recipe.limits
    training = TrainingFacts.of(method.output_fingerprint(request), method.memory)
    checks = method.checks_of(request)
    refused: Counter[str] = Counter()
    missed = Misses()
    for attempt in range(limits.attempts):
        before_attempt(attempt)
        seed = derive_seed(recipe.seed, task.id, attempt)
        with noting_smaller_pieces() as pieces:
            case = _synthesize_once(method, request, seed, task)
        results = check_case(case, training, limits, checks)
        failed = [result.check for result in results if result.outcome == "failed"]
        if not failed:
            record = provenance(task, seed, attempt, refused, results) | dict(case.provenance or {})
            record |= {"tile": min(pieces)} if pieces else {}
            return CaseResult(replace(case, id=task.id, provenance=record), dict(refused))
        refused.update(failed)
        about = dict.fromkeys((name for result in results for name in result.about), 1)
        missed = missed.after(about, missed_values(case) if about else ())
        after_refusal(attempt, case, failed)
        if gave_up_on_misses(refused, limits):
            break
    return CaseResult(None, dict(refused), missed)


def _synthesize_once(method: "Method", request: BaseModel, seed: int, task: CaseTask) -> Case:
    with one_thread(), _row_of(method, task):
        return method.synthesize(request, seed, sampling_of(method, task.recipe))


def _row_of(method: "Method", task: CaseTask) -> AbstractContextManager[None]:
    """The row of the batch that the passes of a case are computed in."""
    if task.recipe.batch == 1:
        return nullcontext()
    let_join(method)
    size = task.recipe.batch
    return _BATCHES.setdefault(size, MicroBatch(size)).row(task.recipe.row(task.index))


def sampling_of(method: "Method", recipe: Recipe) -> Sampling:
    """The settings of sampling of a recipe, for the method that it was made for."""
    sampling: Sampling = method.config.sampling.override(recipe.solver, recipe.steps)
    return sampling


def provenance(
    task: CaseTask, seed: int, attempt: int, refused: Mapping[str, int], results: tuple[CheckResult, ...]
) -> dict[str, Any]:
    """The provenance record (docs/provenance.md); without time, path or host, so that its bytes can be reproduced."""
    recipe = task.recipe.model_dump(mode="json")
    run_seed = recipe.pop("seed")
    return recipe | {
        "synthetic": True,
        "notice": NOTICE,
        "index": task.index,
        "run_seed": run_seed,
        "case_seed": str(seed),
        "attempt": attempt,
        "refused": dict(refused),
        "checks": [result.as_json() for result in results],
        "versions": versions() | version_of(task.recipe.method) | solver_version_of(task.recipe.solver),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect the bytes of a case and its files."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES}
