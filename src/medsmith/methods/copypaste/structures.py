"""Structures of a case that can be pasted into another, with their surroundings.

Axes: c channels, x y z voxel axes along right, anterior, superior (canonical).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import ndimage

from medsmith.cases.case import Case
from medsmith.cases.label_names import foreground_names
from medsmith.errors import RequestError, RunError, similar
from medsmith.formats.volume import Region
from medsmith.geometry import Geometry
from medsmith.methods.copypaste.body import body_of
from medsmith.methods.copypaste.config import CopyPasteConfig
from medsmith.methods.copypaste.records import packed, unpacked
from medsmith.preparation.split import patient_groups
from medsmith.reports.organs import is_lesion

_RING = 3
"""Shortest edges of a voxel that the ring reaches which tells what surrounds a structure."""
TOUCHING = np.ones((3, 3, 3), bool)
_Edge = Annotated[float, Field(gt=0)]
Triple = tuple[_Edge, _Edge, _Edge]


@final
class StructureFacts(BaseModel):
    """What a run knows of a structure besides its voxels.

    Attributes:
        donor: id of its case.
        part: its number in the case, from 0.
        patient: of the case.
        labels: value in the crop -> name, of the labels that it has.
        spacing: edges of a voxel, mm.
        center: in voxels of the crop.
        extent: edges of its bounding box, mm.
        at: its center as shares of the field of view.
        surroundings: name of the label around most of it; None where that is background.
        cut: whether it touches the border of its image, and so may be cut off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    donor: str
    part: int
    patient: str
    labels: Mapping[int, str]
    spacing: Triple
    center: tuple[float, float, float]
    extent: Triple
    at: tuple[float, float, float]
    surroundings: str | None
    cut: bool


@final
@dataclass(frozen=True, eq=False)
class Structure:
    """A structure in a crop of its own image.

    Attributes:
        facts: what is known of it.
        image: the crop, in stored units.
        labels: its label values; 0 outside of it.
        around: voxels of the same surroundings as most of its ring, where nothing else is labeled.
    """

    facts: StructureFacts
    image: Float32[np.ndarray, "c x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    around: Bool[np.ndarray, "x y z"]

    def packed(self, dtype: np.dtype[Any]) -> bytes:
        """As bytes, the image in a dtype that holds it."""
        arrays = {"image": self.image.astype(dtype), "labels": self.labels, "around": self.around.astype(np.uint8)}
        return packed(self.facts, arrays)

    @classmethod
    def unpacked(cls, record: bytes) -> "Structure":
        """Inverse of ``packed``.

        Raises:
            RunError: the bytes are damaged.
        """
        facts, arrays = unpacked(record, StructureFacts)
        return cls(facts, arrays["image"].astype(np.float32), arrays["labels"], arrays["around"] > 0)


def parsed_facts(records: Sequence[bytes]) -> list[StructureFacts]:
    """The facts of structures, kept as JSON apart from their voxels.

    Raises:
        RunError: they are damaged.
    """
    try:
        return [StructureFacts.model_validate_json(record) for record in records]
    except ValidationError:
        raise RunError("memory.safetensors", "the facts of a structure are damaged", cure="train again") from None


def pasted_labels(label_names: Mapping[str, int], config: CopyPasteConfig) -> tuple[str, ...]:
    """Names of the labels of structures: those of the config, else those of lesions, else the only one.

    Raises:
        RequestError: there is no such label, or several of which none is named like a lesion.
    """
    known = foreground_names(label_names)
    unknown = [name for name in config.structures if name not in known]
    if unknown:
        cure = similar(unknown[0], known, "name these")
        raise RequestError("structures", f"no label '{unknown[0]}'", f"there are {', '.join(known)}", cure)
    found = config.structures or tuple(filter(is_lesion, known)) or known
    if not config.structures and len(known) > 1 and found == known and not all(map(is_lesion, known)):
        limit = f"there are {', '.join(known)}"
        cure = f"say which are pasted: --set 'structures=[\"{known[-1]}\"]'"
        raise RequestError("structures", "no label is named like a lesion", limit, cure)
    return found


def edges_of(grid: Geometry) -> Triple:
    """Edges of a voxel, mm; the thickness of a slice counts as its longest edge in the plane."""
    x, y, z = grid.spacing
    return (x, y, max(x, y)) if grid.dimensions == 2 else (x, y, z)


def patient_of(id: str, group: str | None) -> str:
    """The patient of a case by ``CopyPasteConfig.group``.

    Raises:
        RequestError: the expression does not match the id.
    """
    (patient,) = patient_groups([id], group)
    return patient


def find_structures(case: Case, config: CopyPasteConfig) -> Iterator[Structure]:
    """The structures of a case with image and labels, in canonical axes.

    Raises:
        RequestError: which labels are pasted is unclear, or the patient of the case.
    """
    labels = case.require_labels()
    names = {case.label_names[name]: name for name in pasted_labels(case.label_names, config)}
    patient = patient_of(case.id, config.group)
    parts, _ = ndimage.label(np.isin(labels, list(names)), TOUCHING)
    body = body_of(case.require_image(), case.channel_names)
    for index, bounds in enumerate(ndimage.find_objects(parts)):
        x, y, z = bounds
        if (parts[bounds] == index + 1).sum() >= config.least_voxels:
            yield _structure(case, body, names, (index, patient), parts, (x, y, z), config.margin)


def _structure(
    case: Case,
    body: Bool[np.ndarray, "x y z"],
    names: Mapping[int, str],
    owner: tuple[int, str],
    parts: Int[np.ndarray, "x y z"],
    bounds: Region,
    margin: int,
) -> Structure:
    part, patient = owner
    grid = case.geometry
    spacing = edges_of(grid)
    region = _widened(bounds, margin, grid.shape, spacing)
    inside, labels = parts[region] == part + 1, case.require_labels()[region]
    others = {*names, *(value for name, value in case.label_names.items() if is_lesion(name))}
    around, surroundings = _surroundings(inside, labels, body[region], others, spacing)
    name = next((name for name, value in case.label_names.items() if value == surroundings and value > 0), None)
    values = np.where(inside, labels, 0).astype(np.uint8)
    x, y, z = ((each.start + each.stop - 1) / 2 for each in bounds)
    a, b, c = ((each.stop - each.start) * edge for each, edge in zip(bounds, spacing, strict=True))
    u, v, w = ((middle + 0.5) / count for middle, count in zip((x, y, z), grid.shape, strict=True))
    border = zip(bounds[: grid.dimensions], grid.shape, strict=False)
    facts = StructureFacts(
        donor=case.id,
        part=part,
        patient=patient,
        labels={int(value): names[int(value)] for value in np.unique(values) if value},
        spacing=spacing,
        center=(x - region[0].start, y - region[1].start, z - region[2].start),
        extent=(a, b, c),
        at=(u, v, w),
        surroundings=name,
        cut=any(each.start == 0 or each.stop == count for each, count in border),
    )
    return Structure(facts, case.require_image()[:, *region], values, around)


def _widened(bounds: Region, margin: int, shape: tuple[int, int, int], spacing: Triple) -> Region:
    """A box with a margin of as many shortest edges, within the image."""
    reach = [int(np.ceil(margin * min(spacing) / edge)) for edge in spacing]
    x, y, z = (
        slice(max(part.start - more, 0), min(part.stop + more, count))
        for part, more, count in zip(bounds, reach, shape, strict=True)
    )
    return x, y, z


def _surroundings(
    inside: Bool[np.ndarray, "x y z"],
    labels: UInt8[np.ndarray, "x y z"],
    body: Bool[np.ndarray, "x y z"],
    others: Collection[int],
    spacing: Triple,
) -> tuple[Bool[np.ndarray, "x y z"], int]:
    """Voxels of the body with the label that most of the ring has, and its value; other structures do not count."""
    distance = ndimage.distance_transform_edt(~inside, sampling=spacing)
    near = (distance > 0) & (distance <= _RING * min(spacing)) & body & ~np.isin(labels, list(others))
    most = int(np.bincount(labels[near], minlength=1).argmax())
    return (labels == most) & body & ~inside, most
