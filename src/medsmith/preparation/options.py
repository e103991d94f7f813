"""Declarations and options for a source folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, final

from medsmith.formats.volume import ReadOptions

EMPTY, UNPAIRED, UNREADABLE = "empty", "unpaired", "unreadable"
_FRACTION = 0.5


@final
@dataclass(frozen=True)
class PrepareOptions:
    """Declarations and options for a source.

    Attributes:
        channel_names: one per channel; () infers them.
        label_names: name -> value in the source; {} infers them.
        class_map: name of the class map whose classes are declared beside ``label_names`` (see ``class_maps``); None
            for no others.
        read: how to handle missing information in files.
        leave_out: "empty" skips cases whose label map is all background, "unpaired" skips images without labels and
            labels without an image where other cases have both, "unreadable" damaged DICOM files; otherwise such cases
            and files are refused.
        keep: "empty" and "unpaired" keep them instead, the latter as cases with only an image or only labels.
        hu_offset: HU added to CT values; -1024 restores a lost rescale intercept.
        percentiles: of each channel of each image that become 0 and 255, for images whose scales differ; None keeps
            the values.
        pictures: write slices as PNG pictures in 8 bit, as radiologists view them and without spacing; ``percentiles``
            is needed.
        segment_names: label name -> label of a segment in a DICOM segmentation or a ``.seg.nrrd``, or name of a region
            of interest; beside ``label_names``, whose values are segment numbers there.
        series: which DICOM series to take, each by its number, description or UID; () takes the only one.
        fraction: least fraction, above 0 and up to 1, at which a voxel of a fractional DICOM segment is labeled.
    """

    channel_names: tuple[str, ...] = ()
    label_names: Mapping[str, int] = field(default_factory=dict)
    read: ReadOptions = field(default_factory=ReadOptions)
    leave_out: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    hu_offset: float = 0.0
    percentiles: tuple[float, float] | None = None
    pictures: bool = False
    segment_names: Mapping[str, str] = field(default_factory=dict)
    series: tuple[str, ...] = ()
    fraction: float = _FRACTION
    class_map: str | None = None

    @property
    def recorded(self) -> dict[str, Any]:
        """The options as JSON, without those that may quote a source (the record has their effect) or are not used."""
        unused = {"fraction": self.fraction == _FRACTION, "class_map": self.class_map is None}
        left_out = {"segment_names", "series", *(name for name, without in unused.items() if without)}
        facts = {name: value for name, value in asdict(self).items() if name not in left_out}
        if not self.read.segments:
            facts["read"].pop("segments")
        return facts | {"leave_out": sorted(self.leave_out), "keep": sorted(self.keep)}
