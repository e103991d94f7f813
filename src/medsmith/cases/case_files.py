"""The files of cases, as known without reading images, and how many cases have what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

NO_LABELS, NO_IMAGE = "no case has labels", "no case has an image"


@final
@dataclass(frozen=True)
class ChannelFile:
    """The location of one channel: a file, or one volume of a four-dimensional file."""

    path: Path
    volume: int | None = None


@final
@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Attributes:
        channels: one per channel; () if there is no image.
        labels: the label map; None if there is only an image.
        extra_labels: further label maps of the same case, one lesion each, to be merged.
    """

    channels: tuple[ChannelFile, ...]
    labels: Path | None
    extra_labels: tuple[Path, ...] = ()

    @property
    def label_paths(self) -> tuple[Path, ...]:
        """Every label map."""
        return () if self.labels is None else (self.labels, *self.extra_labels)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file, each once, images first."""
        return (*dict.fromkeys(channel.path for channel in self.channels), *self.label_paths)


@final
@dataclass(frozen=True)
class Layout:
    """The contents of a folder, as known without reading images.

    Attributes:
        channel_names: one per channel; () where no case has an image.
        label_names: name -> value, "background" is 0.
        file_ending: of images and labels.
        cases: id -> files of the cases with a complete image, labels, or both.
        label_of: value in the files -> label, where they differ.
        notes: one line per assumption or skipped file.
        label_of_file: name of a label file without its ending -> label, where each label has a file of its own.
        strays: files of an nnU-Net folder that belong to no complete case.
    """

    channel_names: tuple[str, ...]
    label_names: Mapping[str, int]
    file_ending: str
    cases: Mapping[str, CaseFiles]
    label_of: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    label_of_file: Mapping[str, int] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


def unpaired_notes(cases: Mapping[str, CaseFiles]) -> tuple[str, ...]:
    """How many cases have only an image or only labels, in at most one line."""
    if cases and not any(files.label_paths for files in cases.values()):
        return (NO_LABELS,)
    if cases and not any(files.channels for files in cases.values()):
        return (NO_IMAGE,)
    alone = {
        "only an image": sum(not files.label_paths for files in cases.values()),
        "only labels": sum(not files.channels for files in cases.values()),
    }
    found = [f"{count} {what}" for what, count in alone.items() if count]
    return (f"of {len(cases)} cases, {' and '.join(found)}",) if found else ()


def parts_line(cases: int, with_image: int, with_labels: int) -> str:
    """How many cases have what: ``233 with image and labels, 835 with only an image``.

    Args:
        cases: each with an image, labels or both.
        with_image: those with an image.
        with_labels: those with labels.
    """
    parts = {
        "image and labels": with_image + with_labels - cases,
        "only an image": cases - with_labels,
        "only labels": cases - with_image,
    }
    return ", ".join(f"{count} with {part}" for part, count in parts.items() if count)
