"""Fake runs for the tests of synthesis: a small method that loads fast and fails on demand.

A fake run is a folder with a fake.json; ``load`` is the loader passed to the workers.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from medsmith.cases.case import Case
from medsmith.cases.case_ref import CaseRef, load_case
from medsmith.data.fingerprint import Fingerprint
from medsmith.diffusion import Sampling, derive_seed
from medsmith.errors import MedsmithError, RequestError
from medsmith.geometry import Geometry
from medsmith.synthesis import SynthesisOptions, Timeouts, synthesize
from medsmith.synthesis.case_synthesis import load as load_once
from medsmith.synthesis.case_synthesis import resolve_request, synthesize_case
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.executors.base import Outcome
from medsmith.synthesis.rejected import keep_picture
from medsmith.synthesis.worker import open_cohort

LOADER = "synthesis_fakes:load"
SHAPE = (16, 16, 1)
NOISE_PASSES = Limits(noise=1e6)
"""For networks of a few training steps, whose images are noise."""


class FakeConfig(BaseModel):
    model_config = ConfigDict(frozen=True)
    bias: float = 0.0
    sampling: Sampling = Sampling(solver="ddim", steps=4)


class FakeRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    brightness: float = 0.0
    like: Path | None = None


class Guide(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    image: CaseRef
    notes: tuple[Path, ...] = ()


class GuidedRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    brightness: float = 0.0
    masks: CaseRef | None = None
    guides: tuple[Guide, ...] = ()
    named: dict[str, CaseRef] = {}


def fingerprint(**changes):
    facts = {
        "dimensions": 2,
        "channel_names": ("ultrasound",),
        "label_names": {"background": 0, "lesion": 1},
        "file_ending": ".png",
        "stored": "uint8",
        "shape": SHAPE,
        "spacing": (1.0, 1.0, 1.0),
        "spacing_known": False,
        "absolute": True,
        "full_range": ((0.0, 255.0),),
        "robust_range": ((20.0, 220.0),),
        "foreground": (0.02, 0.2),
        "label_share": {"background": 1.0, "lesion": 1.0},
        "components": 1,
        "count": 40,
        "cohort_hash": "0" * 64,
    }
    return Fingerprint.model_validate(facts | changes)


class FakeMethod:
    name, precision = "fake", "float32"
    Request: type[BaseModel] = FakeRequest
    checks = None

    def __init__(self, facts):
        if facts.get("guided"):
            self.Request = GuidedRequest
        self.facts, self.config = facts, FakeConfig(bias=facts.get("bias", 0.0))
        self.fingerprint, self.memory = fingerprint(**facts.get("fingerprint", {})), {}
        self.weights_hash = hashlib.sha256(json.dumps(facts.get("weights", 0)).encode()).hexdigest()

    def modules(self):
        return iter(())

    def output_fingerprint(self, _request):
        return self.fingerprint

    def request_of_case(self, request, index):
        """Too bright for these cases; the request itself for all others."""
        unplaced = index in self.facts.get("unplaced", ())
        return request.model_copy(update={"brightness": 2000.0}) if unplaced else request

    def checks_of(self, request):  # noqa: ARG002
        return ("lesions_as_requested",) if "misses" in self.facts else self.checks

    def _lesions(self, seed):
        """The provenance of a lesion that misses its density, and in every second attempt its size, for these seeds."""
        missed = str(seed) in self.facts["misses"]
        verdicts = [
            {"attribute": "density", "requested": "hypodense", "measured": "isodense", "passed": not missed},
            {
                "attribute": "size_mm",
                "requested": [9.0, 9.0, 9.0],
                "measured": [5.0, 5.0, 5.0],
                "passed": not missed or seed % 2 == 0,
            },
        ]
        lesion = {"visible": True, "attempts": 3, "passed": not missed, "requested": {}, "verdicts": verdicts}
        return {"lesions": [lesion], "template": "scan"}

    def synthesize(self, request, seed, sampling):
        """A bright disc on noise; a third of the attempts have an empty mask."""
        self._misbehave(str(seed))
        if request.brightness > 1000:
            raise RequestError("brightness", f"{request.brightness}", "at most 1000")
        if self.facts.get("marks_attempts"):
            (Path(self.facts["folder"]) / f"attempted-{os.getpid()}").touch()
        time.sleep(self.facts.get("seconds", 0.0))
        rng = np.random.default_rng([seed, len(sampling.solver)])
        guides = [load_case(guide.image, seed).require_image().mean() for guide in getattr(request, "guides", ())]
        image = rng.normal(100 + request.brightness + sum(guides) / 10, 40 + sampling.steps, SHAPE)
        image = image.clip(0, 255).round()
        image = torch.from_numpy(image).float().numpy()[None]
        labels = np.zeros(SHAPE, np.uint8)
        if rng.random() > self.facts.get("empty", 0.33):
            x, y = rng.integers(2, 11, 2)
            labels[x : x + 3, y : y + 4] = 1
        kind = self.fingerprint
        record = self._lesions(seed) if "misses" in self.facts else None
        return Case("fake", image, labels, Geometry.plain(SHAPE), kind.channel_names, kind.label_names, np.dtype("u1"),
                    provenance=record)  # fmt: skip

    def _misbehave(self, seed):
        if seed in self.facts.get("poison", ()):
            os.write(2, b"the poison bites\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if seed in self.facts.get("once", ()):
            marker = Path(self.facts["folder"]) / f"died-{seed}"
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if seed in self.facts.get("hang", ()):
            while True:
                time.sleep(0.01)
        if seed in self.facts.get("raise", ()):
            raise ZeroDivisionError("a bug in the method")


def load(run, *, device):
    assert device == "cpu"
    facts = json.loads((Path(run) / "fake.json").read_text())
    if facts.get("unloadable"):
        raise ZeroDivisionError("a bug in loading")
    return FakeMethod(facts | {"folder": str(run)})


def write_run(folder, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fake.json").write_text(json.dumps(facts))
    return folder


def options(**changes):
    parts = {key: changes.pop(key) for key in ("executor", "devices", "shard", "batch") if key in changes}
    limits = changes.pop("limits", Limits(attempts=20))
    return SynthesisOptions(loader=LOADER, limits=limits, timeouts=Timeouts(**changes), **parts)


def in_process(**changes):
    """Options that synthesize the cases in this process, for tests that do not concern workers."""
    return options(executor=InProcessExecutor, **changes)


@dataclass
class InProcessExecutor:
    """An executor without workers."""

    request: Any
    workers: int
    timeouts: Timeouts
    stop: Any

    def __enter__(self):
        load_once.cache_clear()
        return self

    def __exit__(self, *_):
        pass

    def resolve(self):
        return resolve_request(self.request, self.request.devices[0])

    def submit(self, tasks, out):
        cohort = open_cohort(out, self.resolve().spec)
        for task in tasks:
            keep = partial(keep_picture, cohort.root, task)
            result = synthesize_case(task, self.request.devices[0], after_refusal=keep)
            if result.case is not None:
                cohort.write(result.case)
            yield Outcome(task, "made" if result.case else "refused", result.refused, result.missed)


def case_seed(index, attempt=0, seed=0):
    return str(derive_seed(seed, f"fake_{index:05d}", attempt))


def contents(out):
    """Every file below a folder, as bytes, but for logs."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and not path.name.startswith("log"))
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def main(run, out, count, workers, file_bytes="0"):
    """Like the command line: one line and exit code 2 for a ``MedsmithError``."""
    if int(file_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), int(file_bytes)))
    try:
        synthesize(run, out, count=int(count), workers=int(workers), options=options())
    except MedsmithError as error:
        print(error.line, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
