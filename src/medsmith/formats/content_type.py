"""Identifies the content type of a file by its first bytes."""

UNKNOWN = "of no known kind"

_STARTS = (
    (b"\x1f\x8b", "a gzip stream"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"BM", "a BMP picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"NRRD", "an NRRD file"),
    (b"ObjectType", "a MetaImage file"),
    (b"version https://git-lfs", "a git-lfs pointer, not the data"),
    (b"BZh", "a bzip2 stream"),
    (b"\xfd7zXZ", "an xz stream"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard stream"),
)
_TEXTS = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
    (b"{", "a JSON document"),
    (b"[", "a JSON document"),
)


def identify_content(head: bytes) -> str:
    """The content type shown by the first bytes, for an error line; ``UNKNOWN`` if not recognized."""
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[128:132] == b"DICM":
        return "a DICOM file"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, kind in _TEXTS:
        if text.startswith(start):
            return kind
    return UNKNOWN


def cure_for(kind: str) -> str:
    """What to do about a file whose content does not match its name."""
    if "git-lfs" in kind:
        return "fetch it with git lfs pull"
    if kind in ("a web page", "a JSON document", "an XML document"):
        return "the download failed: fetch it again"
    return "convert it or give it its right name"
