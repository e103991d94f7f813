"""A method without networks whose images do what is asked of them, the opposite, or nothing."""

from functools import partial

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Sampling
from medsmith.errors import RequestError
from medsmith.methods.attributes import Attribute, Focus
from medsmith.methods.base import Method, assemble
from medsmith.methods.config import TrainingConfig

EDGE = 32


class Config(BaseModel):
    size: tuple[int, ...] = (EDGE, EDGE)
    training: TrainingConfig = TrainingConfig()
    sampling: Sampling = Sampling(steps=1)


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: float = 0.0
    lesion: bool = True


class Obedient(Method):
    """A square at a place that the seed chooses; ``follows``: whether the image shows it where the labels are."""

    presets = {}  # noqa: RUF012
    Config = Config
    Request = Request
    name = "obedient"
    weights_hash = "0" * 64

    def __init__(self, follows=True):
        super().__init__()
        names = {"background": 0, "lesion": 1}
        self.config, self.memory, self.follows, self.made = Config(), {}, follows, 0
        whole = ((0.0, 255.0),)
        self.fingerprint = Fingerprint(
            dimensions=2, channel_names=("gray",), label_names=names, file_ending=".png", stored="uint8",
            shape=(EDGE, EDGE, 1), spacing=(1.0, 1.0, 1.0), spacing_known=False, absolute=True, full_range=whole,
            robust_range=whole, foreground=(0.1, 0.1), label_share={"background": 1.0, "lesion": 1.0}, components=1,
            count=4, cohort_hash="none",
        )  # fmt: skip

    def stages(self):
        return ()

    def prepare(self, case):
        raise NotImplementedError

    def loss(self, part, batch, rng):
        raise NotImplementedError

    def synthesize(self, request, seed, sampling, *, observe=None):  # noqa: ARG002
        self.made += 1
        rng = np.random.default_rng(seed)
        labels, shown = np.full((1, EDGE, EDGE), -1.0, np.float32), np.zeros((EDGE, EDGE))
        x, y, u, v = rng.integers(2, EDGE - 12, 4)
        labels[0, x : x + 10, y : y + 10] = 1
        x, y = (x, y) if self.follows else (u, v)
        shown[x : x + 10, y : y + 10] = 0.8
        image = -0.4 + request.brightness + shown + 0.1 * rng.standard_normal((EDGE, EDGE))
        return assemble(torch.from_numpy(image.astype(np.float32))[None], torch.from_numpy(labels), self.fingerprint)

    def attributes(self):
        levels = ("dark", "bright")
        up = partial(_asked, (-0.1, 0.1))
        return (
            Attribute("obeyed", levels, "mean gray value", up, _means, "added", focus=_middle),
            Attribute("ignored", levels, "mean gray value", partial(_asked, (0.0, 0.0)), _noisy),
            Attribute("opposite", levels, "mean gray value", partial(_asked, (0.1, -0.1)), _means),
            Attribute("graded", ("1", "2", "3"), "mean gray value", partial(_asked, (-0.1, 0.0, 0.1)), _means),
            Attribute("refused", levels, "mean gray value", _refuse, _means),
            Attribute("odd", levels, "mean gray value", up, _measured_at_times),
        )


def _asked(levels, draw):  # noqa: ARG001
    return [Request(brightness=level) for level in levels]


def _refuse(draw):
    raise RequestError("request", f"no room in draw {draw.number}", "lesions need room")


def _means(cases):
    return [float(case.require_image().mean()) for case in cases]


def _noisy(cases):
    """What depends on the images, and not on what was asked for."""
    first = cases[0].require_image()
    return np.random.default_rng(int(first.sum())).standard_normal(len(cases)).tolist()


def _measured_at_times(cases):
    values = _means(cases)
    return values if int(cases[0].require_image().sum()) % 3 else [values[0], float("nan")]


def _middle(_case):
    return Focus((EDGE // 2, EDGE // 2, 0), "lesion")
