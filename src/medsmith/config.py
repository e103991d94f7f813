"""The settings that methods share. A preset is a value of a method's own config, which is made of these."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsmith.diffusion import NoiseSchedule, Prediction, Solver
from medsmith.errors import RequestError


@final
class DiffusionConfig(BaseModel):
    """How noise is added in training and what the network answers with.

    Attributes:
        schedule: family of the noise schedule, with its usual constants.
        length: number of times T.
        prediction: what the network answers with.
        clamp: largest magnitude of the clean estimate; None does not clamp.
        min_snr: gamma of the min-SNR loss weights; None weighs all times alike.
        draw: how the times of a batch are drawn; "antithetic" pairs t with T - 1 - t.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Literal["linear", "scaled_linear", "cosine", "rectified_flow"] = "cosine"
    length: int = Field(default=1000, ge=1)
    prediction: Prediction = "velocity"
    clamp: float | None = 1.0
    min_snr: float | None = Field(default=5.0, gt=0)
    draw: Literal["uniform", "antithetic"] = "uniform"

    def noise_schedule(self) -> NoiseSchedule:
        """The schedule itself."""
        families = {
            "linear": NoiseSchedule.linear,
            "scaled_linear": NoiseSchedule.scaled_linear,
            "cosine": NoiseSchedule.cosine,
            "rectified_flow": NoiseSchedule.rectified_flow,
        }
        return families[self.schedule](self.length)


@final
class SamplingConfig(BaseModel):
    """How a trained method samples unless told otherwise.

    Attributes:
        solver: solver of the sampling loop.
        steps: evaluations of the denoiser.
        stochasticity: eta of DDIM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    solver: Solver = "dpm++2m"
    steps: int = Field(default=20, ge=1)
    stochasticity: float = Field(default=0.0, ge=0)


@final
class TrainingConfig(BaseModel):
    """How each stage is trained.

    Attributes:
        steps: optimiser steps of each stage.
        batch: cases per step over all devices.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        betas: of AdamW.
        warm_up: steps over which the learning rate rises from 0.
        clip: largest gradient norm.
        ema: decay of the moving average of weights; 0 keeps the last weights.
        flips: axes of space along which a case is mirrored half of the time.
        precision: number format of the network passes; "measured" times both at the start and keeps the faster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: int = Field(default=100, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    flips: tuple[int, ...] = (0,)
    precision: Literal["measured", "float32", "bfloat16"] = "measured"


Model = TypeVar("Model", bound=BaseModel)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _near(key: str, model: BaseModel | type[BaseModel]) -> list[str]:
    known = list(_keys(model if isinstance(model, type) else type(model)))
    return difflib.get_close_matches(key, known, n=3, cutoff=0.4) or known


def explain(model: type[BaseModel], subject: str, error: ValidationError) -> RequestError:
    """A validation error as one line: the key, what was given, and the nearest keys there are."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        near = _near(key, model)
        hint = f"nearest: {', '.join(near)}" if near else "nothing can be asked for here"
        return RequestError(subject, f"unknown key '{key}'", hint)
    return RequestError(subject, f"{key} = {json.dumps(first.get('input'), default=str)}", first["msg"])


def validated(model: type[Model], subject: str, values: Mapping[str, Any]) -> Model:
    """Build a model from outside values.

    Raises:
        RequestError: an unknown key (with the nearest ones) or a value out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explain(model, subject, error) from None


def changed(config: Model, assignments: Iterable[str]) -> Model:
    """A config with some keys set anew.

    Args:
        config: where to start from.
        assignments: ``key=value`` with dotted keys and JSON values: ``training.batch=8``, ``size=[64,64]``.

    Raises:
        RequestError: no ``=``, an unknown key or a value out of range.
    """
    values = config.model_dump()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise RequestError("--set", f"'{assignment}' has no '='", cure="write key=value")
        *path, leaf = key.strip().split(".")
        place: Any = values
        for part in path:
            place = place.get(part)
            if not isinstance(place, dict):
                raise RequestError("--set", f"unknown key '{key}'", f"nearest: {', '.join(_near(key, config))}")
        try:
            place[leaf] = json.loads(text)
        except json.JSONDecodeError:
            place[leaf] = text
    return validated(type(config), "--set", values)
