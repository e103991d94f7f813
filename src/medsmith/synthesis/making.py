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
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from pydantic import BaseModel

from medsmith.case import Case
from medsmith.checks.finished import check_case
from medsmith.checks.training import TrainingFacts
from medsmith.checks.verdict import Verdict
from medsmith.cohort import Cohort
from medsmith.config import validated
from medsmith.diffusion import SOLVERS, Sampling, derive_seed
from medsmith.errors import RequestError, RunError
from medsmith.formats.atomic import sha256_of
from medsmith.layouts import DATASET
from medsmith.synthesis.tasks import NOTICE, CaseTask, Form, Order, Recipe, canonical_hash

if TYPE_CHECKING:
    from medsmith.method import Method

_LIBRARIES = ("medsmith", "torch", "monai", "numpy", "scipy", "nibabel", "pillow")


@final
@dataclass(frozen=True, eq=False)
class Made:
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


def settle(order: Order) -> tuple[Recipe, Form]:
    """Fill in what an order leaves open, and refuse what the method cannot do.

    Raises:
        RunError: the run cannot be loaded.
        RequestError: an unknown key in the request, or a solver or steps that the method's schedule does not allow.
    """
    device = _device_kind(order.device)
    method = load(order.run, order.loader, device)
    defaults = method.config.sampling
    solver, steps = order.solver or defaults.solver, defaults.steps if order.steps is None else order.steps
    if solver not in SOLVERS:
        raise RequestError("solver", f"'{solver}' is not known", f"there are {', '.join(SOLVERS)}")
    if steps < 1:
        raise RequestError("steps", f"{steps}", "at least 1")
    assert isinstance(method.config, BaseModel)
    config = method.config.model_dump(mode="json")
    sampling = defaults.override(next(known for known in SOLVERS if known == solver), steps).model_dump(mode="json")
    validated(type(method.config), "sampling", {**config, "sampling": sampling})
    request = validated(method.Request, "request", order.request)
    facts = method.makes(request)
    places = [name for name, value in request if isinstance(value, Path)]
    recipe = Recipe(
        method=method.name,
        weights_hash=method.weights_hash,
        memory_hash=_memory_hash(method.memory),
        config_hash=canonical_hash(config),
        device=device,
        precision=method.precision,
        seed=order.seed,
        request=request.model_dump(mode="json", exclude=set(places)),
        inputs={name: _content_hash(getattr(request, name)) for name in places},
        solver=solver,
        steps=steps,
        limits=order.limits,
    )
    form = Form(channel_names=facts.channel_names, label_names=facts.label_names, file_ending=facts.file_ending)
    return recipe, form


def _content_hash(path: Path) -> str:
    """Of a cohort, of a folder of files, or of one file."""
    if (path / DATASET).is_file():
        return Cohort.open(path).content_hash()
    if path.is_dir():
        return canonical_hash({file.name: sha256_of(file) for file in sorted(path.iterdir()) if file.is_file()})
    return sha256_of(path)


def _memory_hash(memory: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(memory.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _device_kind(device: str) -> str:
    try:
        return torch.device(device).type
    except RuntimeError:
        raise RequestError("device", f"'{device}' is not known", "cpu or cuda") from None


def make_case(task: CaseTask, before_draw: Callable[[int], None] | None = None) -> Made:
    """Draw a case until it passes every check.

    The result depends on the task alone: each draw has its own seed, and sampling runs on one thread, one case at a
    time (both change low bits otherwise).

    Args:
        task: the case.
        before_draw: told the attempt's number, from 0, before each draw; a sign of life.

    Raises:
        RunError: the weights are no longer those of the recipe.
        RequestError: the method refuses the request.
    """
    recipe, limits = task.recipe, task.recipe.limits
    method = load(task.run, task.loader, recipe.device)
    if method.weights_hash != recipe.weights_hash:
        raise RunError(task.run, "the weights have changed", "one cohort has one set of weights", "restore them")
    request = validated(method.Request, "request", {**recipe.request, **task.places})
    training = TrainingFacts.of(method.makes(request), method.memory)
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
            return Made(replace(drawn, id=task.id, provenance=record), dict(refused))
        refused.update(failed)
    return Made(None, dict(refused))


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
