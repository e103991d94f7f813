"""The number format of every stage of a new run: as configured, or the fastest as timed over a few training steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from medsmith.cases.case import Kind
from medsmith.data.batches import Example, batches_of
from medsmith.data.case_cache import CaseCache
from medsmith.methods.base import Method, Stage
from medsmith.networks.precision import Compute, Precision, fastest_compute
from medsmith.progress import Advance
from medsmith.training.examples import kinds_of


@final
@dataclass(frozen=True)
class FormatTrial:
    """Where and how long steps may be tried.

    Attributes:
        device: type of the device.
        needed: whether steps must be timed whatever the configuration, to divide minutes over stages.
        end: by the monotonic clock.
    """

    device: str
    needed: bool
    end: float


def choose_compute(
    method: Method, ids: tuple[str, ...], cases: CaseCache, trial: FormatTrial, advance: Advance
) -> Mapping[str, Compute]:
    """Number format and layout of each stage: as configured, or the fastest as timed over a few training steps.

    Args:
        method: with initial weights.
        ids: of the cases, in order.
        cases: a cache of them.
        trial: how long and where steps may be tried.
        advance: called after each stage.
    """
    chosen: dict[str, Compute] = {}
    prepared: dict[str, tuple[frozenset[Kind], Example]] = {}
    for stage in method.stages():
        advance(0, stage.name)
        training = method.training_of(stage)
        timed = bool(stage.parts) and (trial.needed or training.precision == "measured")
        wanted = 0 if not stage.parts else training.batch if timed else 1
        examples = list(_first_examples(method, stage, ids, cases, prepared, wanted))
        if not stage.parts:
            chosen[stage.name] = Compute()
        elif timed and examples:
            chosen[stage.name] = _timed_compute(method, stage, examples, trial)
        else:
            precision = "float32" if training.precision == "measured" else training.precision
            chosen[stage.name] = Compute(precision=precision)
        advance(1, "")
    return chosen


def _first_examples(
    method: Method,
    stage: Stage,
    ids: tuple[str, ...],
    cases: CaseCache,
    prepared: dict[str, tuple[frozenset[Kind], Example]],
    count: int,
) -> Iterator[Example]:
    """The first examples of a stage; an error in preparing them comes before the record is written."""
    for id in ids:
        if count == 0:
            return
        if id not in prepared:
            case = cases(id)
            kinds = kinds_of(case)
            usable = any(each.inputs <= kinds for each in method.stages())
            prepared[id] = kinds, method.prepare(case) if usable else {}
        kinds, example = prepared[id]
        if stage.inputs <= kinds:
            count -= 1
            yield example


def _timed_compute(method: Method, stage: Stage, prepared: list[Example], trial: FormatTrial) -> Compute:
    """The fastest number format and layout for the steps of a stage on this device, as far as is known at the end."""
    method.to(trial.device)
    names = set.intersection(*(set(example) for example in prepared))  # training too uses what all examples have
    common = [{name: tensor for name, tensor in example.items() if name in names} for example in prepared]
    examples = [method.encode(stage.name, example) for example in common] if stage.encoded else common
    training = method.training_of(stage)
    drawn = batches_of(examples, training.batch // training.accumulate, 0)(0)
    batch = {key: tensor.to(trial.device) for key, tensor in drawn.items()}
    found: list[Tensor] = []
    _fill_zeros(method, stage)

    def step(candidate: Compute) -> float:
        found.clear()
        losses = []
        for name in stage.parts:
            candidate.apply_to(method.part(name))
        for name in stage.parts:
            method.zero_grad()
            loss = method.loss(name, batch, torch.Generator().manual_seed(0))
            torch.autograd.backward(loss)
            found.extend(weight.grad for weight in method.part(name).parameters() if weight.grad is not None)
            losses.append(float(loss.detach()))
        return losses[0]

    formats: tuple[Precision, ...] = (
        ("float32", "bfloat16") if training.precision == "measured" else (training.precision,)
    )
    dimensions = method.fingerprint.dimensions
    return fastest_compute(step, lambda: found, dimensions, trial.device, formats=formats, end=trial.end)


def _fill_zeros(method: Method, stage: Stage) -> None:
    """Random numbers for weights that begin at zero: behind them all gradients are 0, right or wrong."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in stage.parts:
            for weight in method.part(name).parameters():
                if not weight.any():
                    weight.copy_(0.02 * torch.randn(weight.shape, generator=rng))
