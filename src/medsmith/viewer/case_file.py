"""The script of one case: what the page says of it, and its volumes as compressed NIfTI files in base64.

Pages that were opened from a disk may not read files, but may load scripts. So each case is one script, loaded when
the case is chosen. It calls ``medsmithView.receive(content, volumes)``; every volume is a list of strings, since
one string may not be longer than half a GB. A case that is shown before and after an edit holds, of each channel, the
box that the edit has changed; the rest is in the script of the scan.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped
from scipy.ndimage import find_objects

from medsmith.cases.case import Case
from medsmith.formats import gzip_stream, nifti_writing
from medsmith.formats.values import to_stored
from medsmith.formats.volume import Region
from medsmith.geometry import Geometry
from medsmith.insertion.frame import crop_geometry
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


def case_parts(case: Case, digest: str, before: Case | None) -> Iterator[bytes]:
    """The script of a case.

    Args:
        case: in canonical orientation.
        digest: of what the file is made of.
        before: the scan that the case was made from, where it is shown too: on the same grid, with the same channels.

    Raises:
        FileError: report or provenance are damaged.
        GeometryError: an axis is too long for NIfTI.
    """
    boxes = () if before is None else _changed_boxes(before, case)
    channels = _changes(case, boxes) if boxes else _channels(case)
    return _script(digest, _content(case, before, boxes), {**channels, **_labels(case)})


def template_parts(case: Case, digest: str) -> Iterator[bytes]:
    """The script of a scan before it was edited: its channels alone."""
    return _script(digest, {"id": case.id}, _channels(case))


def _changed_boxes(before: Case, case: Case) -> tuple[Region, ...]:
    """The box of each channel that differs; none where the values of both are not embedded in one data type."""
    if _embedded(before) != _embedded(case):
        return ()
    return tuple(map(changed_box, before.require_image(), case.require_image()))


def changed_box(before: Float32[np.ndarray, "x y z"], after: Float32[np.ndarray, "x y z"]) -> Region:
    """The smallest box that holds every voxel that differs; the first voxel where none does."""
    found = find_objects((before != after).view(np.uint8))
    x, y, z = found[0] if found else (slice(0, 1),) * 3
    return x, y, z


def _content(case: Case, before: Case | None, boxes: Sequence[Region]) -> Json:
    tables = facts_of(case.id, case.geometry, case.report, case.provenance)
    kind = kind_of(case.provenance)
    return {
        "id": case.id,
        "kind": kind,
        "notice": {"synthetic": SYNTHETIC, "predicted": PREDICTED, "real": REAL}[kind],
        "before": None if before is None else before.id,
        "changed_at": [[part.start for part in box] for box in boxes],
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
    x, y, z = (slice(0, length) for length in case.geometry.shape)
    count = 0 if case.image is None else len(case.image)
    return {f"channel {index}": _values(case, index, (x, y, z)) for index in range(count)}


def _changes(case: Case, boxes: Sequence[Region]) -> dict[str, Iterator[bytes]]:
    return {f"change {index}": _values(case, index, box) for index, box in enumerate(boxes)}


def _embedded(case: Case) -> np.dtype[Any]:
    return case.stored if case.stored in _STORED else np.dtype(np.float32)


def _values(case: Case, channel: int, box: Region) -> Iterator[bytes]:
    """A box of a channel, as a volume at its place."""
    values = to_stored(case.require_image()[channel][box], _embedded(case), Path(case.id))
    return _packed(values, case, crop_geometry(case.geometry, box))


def _labels(case: Case) -> dict[str, Iterator[bytes]]:
    return {} if case.labels is None else {"labels": _packed(case.labels, case, case.geometry)}


def _packed(array: Shaped[np.ndarray, "x y z"], case: Case, geometry: Geometry) -> Iterator[bytes]:
    parts = nifti_writing.file_parts(array, drawn_geometry(geometry), Path(case.id), case.synthetic)
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
