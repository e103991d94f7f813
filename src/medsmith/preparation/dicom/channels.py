"""The channel of a cohort that is made of DICOM images."""

from collections.abc import Iterable
from pathlib import Path

from medsmith.errors import CohortError
from medsmith.formats.dicom.headers import Header
from medsmith.preparation.options import PrepareOptions


def channel_of(root: Path, headers: Iterable[Header], options: PrepareOptions) -> tuple[str]:
    """The one channel: as declared, else the modality.

    Args:
        root: the folder.
        headers: one of each image.
        options: declarations.

    Raises:
        CohortError: several are declared, or the images have several modalities.
    """
    if options.channel_names:
        if len(options.channel_names) > 1:
            found = f"{len(options.channel_names)} channel names"
            raise CohortError(root, found, "a series is one channel", "give one")
        return (options.channel_names[0],)
    modalities = sorted({header.modality or "image" for header in headers})
    if len(modalities) > 1:
        found = f"images of {len(modalities)} modalities: {', '.join(modalities)}"
        raise CohortError(root, found, "a cohort has one", "choose with --series, or name the channel with --channel")
    return (modalities[0],)
