"""Settings that methods share; the config of a method is composed of these."""

import difflib
import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar, final, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from medsmith.diffusion import DiffusionProcess, NoiseSchedule, Prediction, Sampling
from medsmith.errors import RequestError
from medsmith.formats.validation import first_problem

_NAMES = re.compile(r"\[[^][{}\",]+(,[^][{}\",]+)*\]")
"""A list of names without quotes."""
_MOST_VOXELS, _MOST_VOXELS_OF_BATCH = 2**28, 2**32
MOST_STEPS = 10**9
"""Of an optimizer: what is larger is a mistake."""


def _is_small(size: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(size) > _MOST_VOXELS:
        raise ValueError(f"must have {_MOST_VOXELS} voxels at most")
    return size


Size = Annotated[
    tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=3), AfterValidator(_is_small)
]
"""Grid of the networks, voxels along each axis of space, 2-D or 3-D."""
_Decay = Annotated[float, Field(ge=0, lt=1)]


@final
class DiffusionConfig(BaseModel):
    """How noise is added in training, and what the network predicts.

    Attributes:
        schedule: family of the noise schedule, with its usual constants.
        length: number of times T.
        prediction: what the network predicts.
        clamp: largest magnitude of the clean estimate; None does not clamp.
        min_snr: gamma of the min-SNR loss weights; None weights all times equally.
        least_weight: added to the min-SNR weight of the error of the clean estimate, so that it stays positive at high
            noise levels, where conditions matter most; Karras et al. 2022 use 1 / variance of the data.
        time_draw: how the times of a batch are sampled; "antithetic" pairs t with T - 1 - t.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schedule: Literal["linear", "scaled_linear", "cosine", "rectified_flow"] = "cosine"
    length: int = Field(default=1000, ge=1, le=10_000)
    prediction: Prediction = "velocity"
    clamp: float | None = Field(default=1.0, gt=0)
    min_snr: float | None = Field(default=5.0, gt=0)
    least_weight: float = Field(default=0.0, ge=0)
    time_draw: Literal["uniform", "antithetic"] = "uniform"

    @model_validator(mode="after")
    def _can_be_predicted(self) -> "DiffusionConfig":
        self._schedule().check_prediction(self.prediction)
        return self

    def process(self) -> DiffusionProcess:
        """The diffusion process with these settings."""
        return DiffusionProcess(
            schedule=self._schedule(),
            prediction=self.prediction,
            clamp=self.clamp,
            min_snr=self.min_snr,
            least_weight=self.least_weight,
            time_draw=self.time_draw,
        )

    def _schedule(self) -> NoiseSchedule:
        families = {
            "linear": NoiseSchedule.linear,
            "scaled_linear": NoiseSchedule.scaled_linear,
            "cosine": NoiseSchedule.cosine,
            "rectified_flow": NoiseSchedule.rectified_flow,
        }
        return families[self.schedule](self.length)


@final
class TrainingConfig(BaseModel):
    """How each stage is trained.

    Attributes:
        steps: optimizer steps of each stage.
        batch: cases per step over all devices.
        accumulate: parts that the batch of a device is divided into, one after the other, their gradients averaged:
            less memory at the same batch. One device with two parts takes the steps of two devices with one.
        activations: "recomputed" runs each block of a network once more in the backward pass instead of keeping its
            activations: less memory, more time, the same gradients.
        sharding: of the weights, gradients, moments and averages of a stage in a training of several processes:
            "replicated" keeps all of them in each, "sharded" a part of each tensor. Less memory for the same steps.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        betas: of AdamW.
        warm_up: steps over which the learning rate rises from 0.
        decay: of the learning rate after that: "none", or "cosine" to a twentieth at the last of ``steps``
            (Loshchilov & Hutter 2017).
        clip: largest gradient norm.
        ema: decay of the moving average of weights; 0 keeps the last weights.
        flips: axes of space along which a case is mirrored half of the time.
        precision: number format of the network passes; "measured" times both at the start and keeps the faster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(default=2000, ge=1, le=MOST_STEPS)
    batch: int = Field(default=16, ge=1, le=4096)
    accumulate: int = Field(default=1, ge=1, le=4096)
    activations: Literal["kept", "recomputed"] = "kept"
    sharding: Literal["replicated", "sharded"] = "replicated"
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    warm_up: int = Field(default=100, ge=0, le=MOST_STEPS)
    decay: Literal["none", "cosine"] = "none"
    clip: float = Field(default=1.0, gt=0)
    ema: _Decay = 0.995
    flips: tuple[Annotated[int, Field(ge=0, le=9)], ...] = (0,)
    precision: Literal["measured", "float32", "bfloat16"] = "measured"

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingConfig":
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate}: batch = {self.batch} is no multiple of it")
        if len(set(self.flips)) < len(self.flips):
            raise ValueError(f"flips = {list(self.flips)} names an axis twice")
        return self


def check_settings(
    size: tuple[int, ...], diffusion: DiffusionConfig, training: TrainingConfig, sampling: Sampling
) -> None:
    """Check that sections of a config fit together; for the validator of a method's config.

    Raises:
        ValueError: a mirrored axis that the grid does not have, a batch that no machine holds, or a sampling that its
            schedule does not allow.
    """
    if training.batch // training.accumulate * math.prod(size) > _MOST_VOXELS_OF_BATCH:
        found = f"training.batch = {training.batch} cases of {math.prod(size)} voxels"
        raise ValueError(f"{found}; a part of a batch has {_MOST_VOXELS_OF_BATCH} voxels at most")
    if any(axis >= len(size) for axis in training.flips):
        raise ValueError(f"training.flips = {list(training.flips)}: the axes of size {list(size)} count from 0")
    sampling.check(diffusion.process().schedule)


Model = TypeVar("Model", bound=BaseModel)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    """Dotted keys; those of the objects in a list without their index."""
    for name, info in model.model_fields.items():
        sections = [kind for kind in (info.annotation, *get_args(info.annotation)) if _is_model(kind)]
        for section in sections:
            yield from _keys(section, f"{prefix}{name}.")
        if not sections:
            yield prefix + name


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _likeness(asked: str, known: str) -> tuple[float, float]:
    """Of two dotted keys, of their last parts, or of a key and a section, from 0 to 1; and of the whole keys."""
    last, section = known.rpartition(".")[2], known.partition(".")[0]
    pairs = ((asked, known), (asked.rpartition(".")[2], last), (asked, section))
    ratios = [difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs]
    return max(ratios), ratios[0]


def _hint(key: str, model: type[BaseModel]) -> str:
    known = list(_keys(model))
    bare = ".".join(part for part in key.split(".") if not part.isdecimal())
    likeness = {name: _likeness(bare, name) for name in known}
    near = sorted((name for name in known if likeness[name][0] >= 0.6), key=lambda name: likeness[name], reverse=True)[
        :3
    ]
    if near:
        return f"nearest: {', '.join(near)}"
    return f"there are {', '.join(model.model_fields)}" if known else "nothing can be asked for here"


def explain(model: type[BaseModel], subject: str, error: ValidationError) -> RequestError:
    """A validation error as one line: the key, the value, and the rule or the nearest known keys."""
    problem = first_problem(error)
    if problem.kind == "extra_forbidden":
        return RequestError(subject, problem.found, _hint(problem.key, model))
    if problem.kind == "value_error":
        return RequestError(subject, ": ".join(filter(None, (problem.key, problem.rule))))
    return RequestError(subject, problem.found, problem.limit)


def validated(model: type[Model], subject: str, values: object) -> Model:
    """Build a model from outside values, such as parsed JSON.

    Raises:
        RequestError: not an object, an unknown key (the nearest ones are named) or a value out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explain(model, subject, error) from None
    except UnicodeEncodeError as error:  # an argument of bytes that are no text, or half a character
        found = f"a value holds {error.object[error.start : error.end]!a}, which is no text"
        raise RequestError(subject, found, "text in UTF-8", "write it anew") from None


def flat_settings(config: BaseModel) -> dict[str, Any]:
    """Dotted key -> JSON value of every setting, as in ``--set``."""
    return _flattened(config.model_dump(mode="json"), "")


def _flattened(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def apply_settings(config: Model, assignments: Iterable[str]) -> Model:
    """A config with some keys changed.

    Args:
        config: the config to change; it stays as it is.
        assignments: ``key=value`` with dotted keys and JSON values, names without quotes: ``training.batch=8``,
            ``size=[64,64]``, ``structures=[lesion]``.

    Raises:
        RequestError: no ``=``, an unknown key or a value out of range.
    """
    values = config.model_dump()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not key.strip() or not equals:
            raise RequestError("--set", f"'{assignment}' is not key=value", cure="write training.batch=8, say")
        _set_key(values, key.strip(), _parse_value(text), type(config))
    return validated(type(config), "--set", values)


def _parse_value(text: str) -> Any:
    """A JSON value; text that is not JSON is a string, in brackets a list, as a shell leaves names without quotes."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        listed = text.strip()
        if not _NAMES.fullmatch(listed):
            return text
        return [_parse_value(name.strip()) for name in listed[1:-1].split(",")]


def _set_key(values: dict[str, Any], key: str, value: Any, model: type[BaseModel]) -> None:
    """Set one dotted key; an object given for a section changes its keys and keeps the others."""
    *path, leaf = key.split(".")
    section: Any = values
    for part in path:
        section = section.get(part)
        if not isinstance(section, dict):
            raise RequestError("--set", f"unknown key '{key}'", _hint(key, model))
    merge = isinstance(value, dict) and isinstance(section.get(leaf), dict)
    section[leaf] = {**section[leaf], **value} if merge else value
