"""Several volumes in one series, as phases, echoes or b-values: told apart, and one of them chosen."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from medsmith.errors import GeometryError
from medsmith.formats.dicom.slices import check_alike
from medsmith.formats.volume import check_only_volume

_KINDS = {
    "temporal positions": ("TemporalPositionIdentifier", "TemporalPositionIndex"),
    "acquisitions": ("AcquisitionNumber",),
    "echoes": ("EchoNumbers", "EchoTime"),
    "b-values": ("DiffusionBValue",),
    "trigger times": ("TriggerTime",),
    "inversion times": ("InversionTime",),
    "image types": ("ImageType",),
}
"""What tells volumes apart -> attributes that say it, tried one after the other (PS3.3 C.7.6.2, C.8.3.1, C.8.13.5)."""
DISTINCTIONS = tuple(name for names in _KINDS.values() for name in names)
"""All of these attributes."""
_DIGITS = 2
"""Of a position in mm, below the smallest step between slices."""
_LIMIT = "one volume per series"
Position = tuple[float, ...]


def of_one_volume(slices: Sequence[Any], subject: str, volume: int | None) -> tuple[Sequence[Any], tuple[str, ...]]:
    """The slices of one volume, and a note on which; all of them where no two lie at one position.

    Args:
        slices: pydicom datasets, one per file, each with a position in the patient.
        subject: names the series in errors.
        volume: which volume to take, from 0, in the order of the values that tell them apart.

    Raises:
        GeometryError: there are several and none is chosen, there is no such volume, nothing tells them apart, or
            slices of other sizes lie among them.
    """
    positions = _positions(slices)
    count = max(Counter(positions).values())
    if count == 1:
        check_only_volume(volume, subject)
        return slices, ()
    found = _volumes(slices, positions, count)
    if found is None:
        check_alike(slices, subject)
        line = f"{len(slices)} slices at {len(set(positions))} positions, up to {count} at one"
        tried = f"and neither {', '.join(list(_KINDS)[:-1])} nor {list(_KINDS)[-1]} tell {count} volumes apart"
        raise GeometryError(subject, f"{line}, {tried}", _LIMIT, "keep the files of one volume")
    kind, volumes = found
    line = f"{count} volumes in one series, told apart by {kind}"
    if volume is None:
        raise GeometryError(subject, line, _LIMIT, f"pass --volume K, 0 to {count - 1}, in the order of these")
    if not 0 <= volume < count:
        raise GeometryError(subject, f"volume {volume} of {line}", cure=f"choose 0 to {count - 1}")
    return [slices[index] for index in volumes[volume]], (f"volume {volume} of {line}",)


def volumes_of(slices: Sequence[Any]) -> list[list[int]]:
    """The indices of the slices of each volume; none where nothing tells several volumes apart.

    Args:
        slices: pydicom datasets, one per file, each with a position in the patient.
    """
    positions = _positions(slices)
    count = max(Counter(positions).values())
    if count == 1:
        return [list(range(len(slices)))]
    found = _volumes(slices, positions, count)
    return [] if found is None else found[1]


def _positions(slices: Sequence[Any]) -> list[Position]:
    return [tuple(round(float(x), _DIGITS) for x in one.ImagePositionPatient) for one in slices]


def frames_line(data: Any) -> str:
    """How many frames of a multi-frame image lie at how many positions, and of which kinds they are."""
    frames = list(data.get("PerFrameFunctionalGroupsSequence") or ())
    places = [frame.PlanePositionSequence[0] for frame in frames if frame.get("PlanePositionSequence")]
    positions = {tuple(round(float(x), _DIGITS) for x in place.ImagePositionPatient) for place in places}
    kinds = (
        f"{len(values)} {kind}"
        for kind, names in _KINDS.items()
        if len(values := {_of_frame(frame, names) for frame in frames}) > 1
    )
    line = f"{len(frames)} frames at {len(positions)} positions"
    return ", ".join((line, *kinds))


def _of_frame(frame: Any, names: Sequence[str]) -> str:
    """The first of these attributes that a frame's functional groups have."""
    groups = [item for sequence in frame if sequence.VR == "SQ" for item in sequence.value]
    return next((str(group[name].value) for name in names for group in groups if name in group), "")


def _volumes(slices: Sequence[Any], positions: Sequence[Position], count: int) -> tuple[str, list[list[int]]] | None:
    """What tells so many volumes apart, in which no two slices lie at one position; None if nothing does."""
    for kind, values in _distinctions(slices):
        groups: Mapping[Any, list[int]] = defaultdict(list)
        for index, value in enumerate(values):
            groups[value].append(index)
        alone = all(len({positions[index] for index in group}) == len(group) for group in groups.values())
        if len(groups) == count and alone:
            return kind, [groups[value] for value in sorted(groups)]
    return None


def _distinctions(slices: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each kind of value alone, then two together, with the value of every slice."""
    known = [(kind, [_value(one.get(name)) for one in slices]) for kind, names in _KINDS.items() for name in names]
    varying = [(kind, values) for kind, values in known if len(set(values)) > 1]
    yield from varying
    for (one, first), (other, second) in combinations(varying, 2):
        if one != other:
            yield f"{one} and {other}", list(zip(first, second, strict=True))


def _value(value: Any) -> tuple[float, str]:
    """A value that can be sorted: numbers by size, then texts; a missing one comes first."""
    if value in (None, ""):
        return float("-inf"), ""
    try:
        return float(value), ""
    except (TypeError, ValueError):
        return float("inf"), str(value)
