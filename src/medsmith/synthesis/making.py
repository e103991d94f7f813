"""One task in, one checked case out: the unit of work, whoever runs it."""

import hashlib
import importlib
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, final

import torch
from pydantic import BaseModel

from medsmith.cases.case import Case
from medsmith.diffusion import SOLVERS, Sampling, derive_seed
from medsmith.errors import RequestError, RunError
from medsmith.methods.config import validated
from medsmith.synthesis.checks.finished import check_case
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.checks.verdict import Verdict
from medsmith.synthesis.devices import check_present, kind_of
from medsmith.synthesis.references import find_references, with_places, without_places
from medsmith.synthesis.tasks import (
    NOTICE,
    CaseTask,
    CohortSpec,
    Recipe,
    Settled,
    SynthesisRequest,
    canonical_hash,
)

if TYPE_CHECKING:
    from medsmith.methods.base import Method

_LIBRARIES = ("medsmith", "torch", "monai", "numpy", "scipy", "nibabel", "pillow")


@final
@dataclass(frozen=True, eq=False)
class Result:
    """What came of a task.

    Attributes:
        case: the case with its provenance; None if every draw was refused.
        refused: check -> draws that it refused.
    """

    case: Case | None
    refused: Mapping[str, int]


@cache
def load(run: str, loader: str, device: str) -> "Method":
    """The run's method, loaded once per process."""
    module, _, function = loader.partition(":")
    method: Method = getattr(importlib.import_module(module), function)(run, device=device)
    return method


def settle(asked: SynthesisRequest, device: str) -> Settled:
    """Fill in what a request leaves open, find the files that it names, and refuse what the method cannot do.

    Args:
        asked: the request.
        device: where this process loads the run.

    Raises:
        RunError: the run cannot be loaded.
        RequestError: a device that is not here, an unknown key in the request, or a solver or steps that the method's
            schedule does not allow.
    """
    check_present((*asked.devices, device))
    method = load(asked.run, asked.loader, device)
    assert isinstance(method.config, BaseModel)
    solver, steps = _settled_sampling(method, asked)
    request = validated(method.Request, "request", asked.request)
    facts = method.output_fingerprint(request)
    references = find_references(request)
    recipe = Recipe(
        method=method.name,
        weights_hash=method.weights_hash,
        memory_hash=_memory_hash(method.memory),
        config_hash=canonical_hash(method.config.model_dump(mode="json")),
        device=kind_of(device),
        precision=method.precision,
        seed=asked.seed,
        request=without_places(request, references),
        inputs={},
        solver=solver,
        steps=steps,
        limits=asked.limits,
    )
    spec = CohortSpec(channel_names=facts.channel_names, label_names=facts.label_names, file_ending=facts.file_ending)
    return Settled(recipe=recipe, spec=spec, references=references)


def _settled_sampling(method: "Method", asked: SynthesisRequest) -> tuple[str, int]:
    """Solver and steps of a request, those of the method where it leaves them open."""
    defaults = method.config.sampling
    solver, steps = asked.solver or defaults.solver, defaults.steps if asked.steps is None else asked.steps
    if solver not in SOLVERS:
        raise RequestError("solver", f"'{solver}' is not known", f"there are {', '.join(SOLVERS)}")
    if steps < 1:
        raise RequestError("steps", f"{steps}", "at least 1")
    assert isinstance(method.config, BaseModel)
    config = method.config.model_dump(mode="json")
    sampling = defaults.override(next(known for known in SOLVERS if known == solver), steps).model_dump(mode="json")
    validated(type(method.config), "sampling", {**config, "sampling": sampling})
    return solver, steps


def _memory_hash(memory: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(memory.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def make_case(task: CaseTask, device: str, before_draw: Callable[[int], None] | None = None) -> Result:
    """Draw a case until it passes every check.

    The result depends on the task alone: each draw has its own seed, and sampling runs on one thread, one case at a
    time (both change low bits otherwise).

    Args:
        task: the case.
        device: where this process has loaded the run.
        before_draw: told the attempt's number, from 0, before each draw; a sign of life.

    Raises:
        RunError: the weights are no longer those of the recipe.
        RequestError: the method refuses the request.
    """
    recipe, limits = task.recipe, task.recipe.limits
    method = load(task.run, task.loader, device)
    if method.weights_hash != recipe.weights_hash:
        raise RunError(task.run, "the weights have changed", "one cohort has one set of weights", "restore them")
    request = validated(method.Request, "request", with_places(recipe.request, task.places))
    training = TrainingFacts.of(method.output_fingerprint(request), method.memory)
    refused: Counter[str] = Counter()
    for attempt in range(limits.attempts):
        if before_draw is not None:
            before_draw(attempt)
        seed = derive_seed(recipe.seed, task.id, attempt)
        drawn = _draw(method, request, seed, recipe)
        verdicts = check_case(drawn, training, limits, method.checks)
        failed = [verdict.check for verdict in verdicts if verdict.outcome == "failed"]
        if not failed:
            record = provenance(task, seed, attempt, refused, verdicts) | dict(drawn.provenance or {})
            return Result(replace(drawn, id=task.id, provenance=record), dict(refused))
        refused.update(failed)
    return Result(None, dict(refused))


def _draw(method: "Method", request: BaseModel, seed: int, recipe: Recipe) -> Case:
    solver = next(known for known in SOLVERS if known == recipe.solver)
    sampling: Sampling = method.config.sampling.override(solver, recipe.steps)
    with _one_thread():
        return method.synthesize(request, seed, sampling)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def provenance(
    task: CaseTask, seed: int, attempt: int, refused: Mapping[str, int], verdicts: tuple[Verdict, ...]
) -> dict[str, Any]:
    """How a case was made (docs/provenance.md); no time, path or host, so that it can be made again to the byte."""
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
        "checks": [verdict.as_json() for verdict in verdicts],
        "versions": versions(),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of all that decides the bytes of a case and of its files."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES}
