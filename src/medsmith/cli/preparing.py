"""Options of ``prepare``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

SourceFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder of NIfTI, NRRD, MetaImage or PNG files: nnU-Net, Decathlon, images/ and labels/, or files "
        "paired by name; or of DICOM files, nested in any way."
    ),
]
LabelValues = Annotated[
    list[str] | None,
    typer.Option(
        help="Label as name=value, such as lesion=1; repeat for each label. Inferred if omitted. In DICOM and "
        ".seg.nrrd the value is the number or label of a segment, or the name of an ROI."
    ),
]
Percentiles = Annotated[
    str | None,
    typer.Option(help="Percentiles of each image, such as 0.5,99.5, that become 0 and 255, where gray scales differ."),
]
ChosenSeries = Annotated[
    list[str] | None,
    typer.Option(
        help="DICOM series to take, by number, description or UID, where several fit: an image series, a "
        "segmentation or a structure set. Repeatable."
    ),
]
GrayOfColor = Annotated[
    bool, typer.Option("--gray-of-color", help="Read the luminance of pictures in color, such as those with marks.")
]
AssumeSpacing = Annotated[
    bool,
    typer.Option(
        "--assume-spacing",
        help="Use the stored voxel sizes in mm, axes as R, A, S, where a file gives no orientation.",
    ),
]
VolumeIndex = Annotated[
    int | None,
    typer.Option(min=0, help="Index, from 0, of the volume to read from four-dimensional files and DICOM series."),
]
NanFill = Annotated[float | None, typer.Option(help="Value that replaces NaN and infinite voxels; refused if omitted.")]
LeftOutKinds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<empty|unpaired|unreadable>",
        help="Skip empty cases (all background), unpaired files (image or label missing) or unreadable DICOM "
        "files. Repeatable.",
    ),
]
HuOffset = Annotated[float, typer.Option(help="HU added to CT values; -1024 restores a lost rescale intercept.")]
LeastFraction = Annotated[
    float, typer.Option(help="Least fraction at which a voxel of a fractional DICOM segment is labeled.")
]
KeptKinds = Annotated[
    list[str] | None,
    typer.Option(metavar="<empty|unpaired>", help="Keep empty or unpaired cases instead of refusing them. Repeatable."),
]
ClassMap = Annotated[
    Literal["totalsegmentator", "totalsegmentator-v1"] | None,
    typer.Option(
        help="Names of the label values, all at once: totalsegmentator (117 classes of version 2), "
        "totalsegmentator-v1 (104). --label adds to them or renames one."
    ),
]
"""As in ``medsmith.preparation.class_maps``."""
