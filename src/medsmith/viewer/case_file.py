"""The script of one case: what the page says of it, and its volumes as compressed NIfTI files in base64.

Pages that were opened from a disk may not read files, but may load scripts. So each case is one script, loaded when
the case is chosen. It calls ``medsmithView.receive(content, volumes)``; every volume is a list of strings, since
one string may not be longer than half a GB.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from medsmith.cases.case import Case
from medsmith.formats import gzip_stream, nifti_writing
from medsmith.formats.values import to_stored
from medsmith.viewer.colors import label_colors
from medsmith.viewer.facts import facts_of, failures
from medsmith.viewer.gray import in_hounsfield, windows_of
from medsmith.viewer.place import drawn_geometry, focus_of, plane_of

MARK = "// medsmith view "
"""Start of the first line; the digest of what the file was made of follows."""
_BLOCK = 3 * 2**20
"""Bytes per string; a multiple of 3, so that base64 needs no padding within a volume."""
_STORED = (np.uint8, np.int16, np.uint16)
"""Integers that are embedded as they are stored; all else as float32, as it is read."""
Volumes = Mapping[str, Iterator[bytes]]
Json = Mapping[str, Any]
SYNTHETIC = "SYNTHETIC – research only, not for diagnosis"
PREDICTED = "REAL image, PREDICTED labels – research only, not for diagnosis"
REAL = "No provenance: taken to be REAL – research only, not for diagnosis"


def kind_of(provenance: Json | None) -> str:
    """What a case is: "synthetic", "predicted" (a real image with predicted labels) or "real"."""
    if provenance is None:
        return "real"
    return "predicted" if provenance.get("synthetic") is False else "synthetic"


def case_parts(case: Case, digest: str, before: str | None) -> Iterator[bytes]:
    """The script of a case.

    Args:
        case: in canonical orientation.
        digest: of what the file is made of.
        before: id of the scan that the case was made from, where it is shown too.

    Raises:
        FileError: report or provenance are damaged.
        GeometryError: an axis is too long for NIfTI.
    """
    return _script(digest, _content(case, before), {**_channels(case), **_labels(case)})


def template_parts(case: Case, digest: str) -> Iterator[bytes]:
    """The script of a scan before it was edited: its channels alone."""
    return _script(digest, {"id": case.id}, _channels(case))


def _content(case: Case, before: str | None) -> Json:
    tables = facts_of(case.id, case.geometry, case.report, case.provenance)
    kind = kind_of(case.provenance)
    return {
        "id": case.id,
        "kind": kind,
        "notice": {"synthetic": SYNTHETIC, "predicted": PREDICTED, "real": REAL}[kind],
        "before": before,
        "failed": failures(tables),
        "facts": [table.as_json() for table in tables],
        "plane": plane_of(case.geometry),
        "oriented": case.geometry.spacing_known,
        "grid": _grid_line(case),
        "focus": focus_of(case),
        "channels": [] if case.image is None else [_channel(case, index) for index in range(len(case.channel_names))],
        "legend": _legend(case),
    }


def _grid_line(case: Case) -> str:
    count = case.geometry.dimensions
    shape = " × ".join(str(n) for n in case.geometry.shape[:count])
    if not case.geometry.spacing_known:
        return f"{shape} pixels"
    return f"{shape} voxels of {' × '.join(f'{edge:.3g}' for edge in case.geometry.spacing[:count])} mm"


def _channel(case: Case, index: int) -> Json:
    windows = [{"name": each.name, "low": each.low, "high": each.high} for each in windows_of(case, index)]
    return {"name": case.channel_names[index], "unit": "HU" if in_hounsfield(case, index) else "", "windows": windows}


def _legend(case: Case) -> list[Json]:
    """Name, value, color and number of voxels of the labels that occur."""
    if case.labels is None:
        return []
    counts, colors = np.bincount(case.labels.ravel(), minlength=256), label_colors(case.label_names)
    named = [(name, case.label_names[name]) for name in colors]
    return [
        {"name": name, "value": value, "color": colors[name], "voxels": int(counts[value])}
        for name, value in named
        if counts[value]
    ]


def _channels(case: Case) -> dict[str, Iterator[bytes]]:
    if case.image is None:
        return {}
    stored = case.stored if case.stored in _STORED else np.dtype(np.float32)
    return {
        f"channel {index}": _packed(to_stored(channel, stored, Path(case.id)), case)
        for index, channel in enumerate(case.image)
    }


def _labels(case: Case) -> dict[str, Iterator[bytes]]:
    return {} if case.labels is None else {"labels": _packed(case.labels, case)}


def _packed(array: Shaped[np.ndarray, "x y z"], case: Case) -> Iterator[bytes]:
    parts = nifti_writing.file_parts(array, drawn_geometry(case.geometry), Path(case.id), case.synthetic)
    return gzip_stream.deflate_parts(parts)


def _script(digest: str, content: Json, volumes: Volumes) -> Iterator[bytes]:
    yield f"{MARK}{digest}\n".encode()
    yield f"medsmithView.receive({json.dumps(content, allow_nan=False)}, {{\n".encode()
    for name, parts in volumes.items():
        yield f"{json.dumps(name)}: [\n".encode()
        for block in blocks(parts):
            yield b'"' + base64.b64encode(block) + b'",\n'
        yield b"],\n"
    yield b"});\n"


def blocks(parts: Iterable[bytes], size: int = _BLOCK) -> Iterator[bytes]:
    """The same bytes in blocks of one size, the last one shorter."""
    held = bytearray()
    for part in parts:
        held += part
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
