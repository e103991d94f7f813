"""Chooses the series of each study that becomes the image of a case, and the objects that label it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from medsmith.cases.integrity import first_of
from medsmith.errors import CohortError, RequestError
from medsmith.formats.dicom.series import Series
from medsmith.preparation.dicom.studies import Study

_LISTS = "lists them"


@final
@dataclass(frozen=True)
class Chosen:
    """The series of a case.

    Attributes:
        image: the series of the image.
        drawn: segmentations and structure sets on it.
    """

    image: Series
    drawn: tuple[Series, ...]


@final
class _LabelObjects:
    """The segmentations and structure sets of a folder, found by what they refer to.

    Args:
        objects: in the order of their files.
    """

    def __init__(self, objects: Sequence[Series]) -> None:
        self.objects = objects
        self._referring: Mapping[str, list[int]] = defaultdict(list)
        for place, one in enumerate(objects):
            for uid in one.first.referenced:
                self._referring[uid].append(place)

    def on(self, image: Series) -> list[Series]:
        """Those that refer to an image series."""
        found = {place for uid in image.uids if uid in self._referring for place in self._referring[uid]}
        return [self.objects[place] for place in sorted(found)]


def choose_series(
    root: Path, studies: Sequence[Study], wanted: Sequence[str]
) -> tuple[dict[str, Chosen], tuple[str, ...], tuple[str, ...]]:
    """The series of each case.

    Args:
        root: the folder.
        studies: in it.
        wanted: series to take, each by its UID, number, or description in upper or lower case.

    Returns:
        case id -> its series; ids of studies without an image to take; segmentations and structure sets whose series
        is not in the folder.

    Raises:
        CohortError: several series of a study fit, or no study has an image.
    """
    everything = [series for study in studies for series in study.series]
    by_image = any(series.is_image and fits(series, wanted) for series in everything)
    labels = _LabelObjects([series for series in everything if series.is_labels])
    chosen: dict[str, Chosen] = {}
    for study in studies:
        image = _image_of(study, wanted if by_image else (), labels, root)
        if image is not None:
            chosen[study.id] = Chosen(image, _drawn_on(image, labels, wanted))
    if not chosen:
        names = first_of(series.name for series in everything)
        found = f"{len(everything)} series, none of gray slices that are placed in the patient: {names}"
        raise CohortError(root, found, "one per study", "give the folder of the scans")
    left_out = tuple(study.id for study in studies if study.id not in chosen)
    known = frozenset[str]().union(*(series.uids for series in everything if not series.is_labels))
    return chosen, left_out, tuple(series.name for series in labels.objects if not series.first.referenced & known)


def check_named(root: Path, studies: Sequence[Study], wanted: Sequence[str]) -> None:
    """Checks that each name is one of a series.

    Raises:
        RequestError: no series is as wanted.
    """
    everything = [series for study in studies for series in study.series]
    for place, value in enumerate(wanted, start=1):
        if not any(_is(series, value) for series in everything):
            found = f"value {place} fits none of {len(everything)} series"
            cure = f"medsmith series {root} {_LISTS}"
            raise RequestError("--series", found, "a series number, description or UID", cure)


def names_images_alone(studies: Sequence[Study], wanted: Sequence[str]) -> bool:
    """Whether series are named, and none of them is a segmentation or structure set."""
    labels = [series for study in studies for series in study.series if series.is_labels]
    return bool(wanted) and not any(fits(series, wanted) for series in labels)


def fits(series: Series, wanted: Sequence[str]) -> bool:
    """Whether a series is one of those named, each by its UID, number or description."""
    return any(_is(series, value) for value in wanted)


def _is(series: Series, value: str) -> bool:
    first, value = series.first, value.strip()
    by_number = value.isdecimal() and first.number == int(value)
    return (
        value in (first.series, first.instance) or by_number or value.casefold() == first.description.strip().casefold()
    )


def _image_of(study: Study, wanted: Sequence[str], labels: _LabelObjects, root: Path) -> Series | None:
    images = [series for series in study.series if series.is_image]
    if wanted:
        fitting = [series for series in images if fits(series, wanted)]
    else:
        drawn_on = [series for series in images if labels.on(series)]
        fitting = drawn_on or [series for series in images if not series.localizer] or images
    if len(fitting) > 1:
        found = f"{len(fitting)} series of {study.id} fit: {first_of(series.name for series in fitting)}"
        cure = f"choose with --series; medsmith series {root} {_LISTS}"
        raise CohortError(root, found, "one per study", cure)
    return fitting[0] if fitting else None


def _drawn_on(image: Series, labels: _LabelObjects, wanted: Sequence[str]) -> tuple[Series, ...]:
    drawn = labels.on(image)
    return tuple([series for series in drawn if fits(series, wanted)] or drawn)
