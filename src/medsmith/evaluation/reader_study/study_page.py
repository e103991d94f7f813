"""The page that readers open: everything inside one HTML file, and nothing in it that tells real from synthetic."""

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import UInt16
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medsmith.evaluation import pages
from medsmith.evaluation.pages.page import WARNING
from medsmith.evaluation.reader_study.key import StudyKey
from medsmith.evaluation.reader_study.presentation import Presentation
from medsmith.evaluation.reader_study.selection import ShownCase
from medsmith.evaluation.reader_study.trials import Trial

PAGE, RESULT_FORMAT = "study.html", "medsmith turing result"
_SCRIPTS = ("reading_pixels.js", "reading_session.js", "reading_view.js")


def render_study(
    key: StudyKey,
    presentation: Presentation,
    shown: Sequence[ShownCase],
    trials: Sequence[Trial],
    learning: Sequence[Trial],
    rng: np.random.Generator,
) -> str:
    """The page as HTML.

    Args:
        key: for its hash, mode and margin; its answers are left out.
        presentation: the images.
        shown: cases of ``presentation.stacks``, in its order.
        trials: in the order in which they are shown.
        learning: trials with feedback; their answers, and only theirs, are in the page.
        rng: of the order in which images are stored and of the padding.
    """
    places = rng.permutation(len(shown))
    number = {case: int(place) for case, place in zip(shown, places, strict=True)}
    order = np.argsort(places)
    study = {
        "format": RESULT_FORMAT,
        "study": key.study,
        "key_hash": key.hash,
        "mode": key.mode.value,
        "margin": key.margin,
        "shape": presentation.stacks[0].shape,
        "windows": _windows(presentation),
        "trials": [[number[case] for case in trial.cases] for trial in trials],
        "learning": [{"images": [number[c] for c in trial.cases], "answer": trial.answer} for trial in learning],
        "images": _payloads([presentation.stacks[i] for i in order], rng),
    }
    environment = Environment(
        loader=PackageLoader("medsmith.evaluation.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    script = "\n".join(files(pages).joinpath("templates", name).read_text("utf-8") for name in _SCRIPTS)
    return environment.get_template("reading.html").render(
        warning=WARNING,
        data=Markup(json.dumps(study, separators=(",", ":")).replace("<", "\\u003c")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _windows(presentation: Presentation) -> list[Mapping[str, Any]]:
    """Display windows in gray levels of the page."""
    return [
        {
            "name": window.name,
            "low": window.low - presentation.lowest,
            "high": window.high - presentation.lowest,
            "label": f"L {window.level:g} W {window.width:g}".replace("-", "\u2212") if presentation.hounsfield else "",
        }
        for window in presentation.windows
    ]


def _payloads(stacks: Sequence[UInt16[np.ndarray, "_ _ _"]], rng: np.random.Generator) -> list[str]:
    """Images in base64, all of one length: smooth images compress better than noisy ones, which would be a cue."""
    packed = [pack(stack) for stack in stacks]
    longest = max(map(len, packed))
    return [base64.b64encode(data + rng.bytes(longest - len(data))).decode() for data in packed]


def pack(stack: UInt16[np.ndarray, "s r c"]) -> bytes:
    """Lossless form of a stack: the length of the rest, then zlib of the differences along rows, low bytes first."""
    steps = np.diff(stack, axis=2, prepend=np.uint16(0)).astype("<u2")  # differences wrap at 2^16
    data = zlib.compress(np.ascontiguousarray(steps.view(np.uint8).reshape(-1, 2).T).tobytes(), 6)
    return struct.pack("<I", len(data)) + data
