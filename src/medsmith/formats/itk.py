"""Reads NRRD (.nrrd, .nhdr, .seg.nrrd) and MetaImage (.mha, .mhd) by SimpleITK, behind checks of header and size."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from medsmith.errors import FileError, GeometryError
from medsmith.formats import metaimage, nrrd
from medsmith.formats.nifti_geometry import check_affine, check_shape
from medsmith.formats.one_hot import joined_volumes
from medsmith.formats.packages import require_simpleitk
from medsmith.formats.raw_header import RawHeader
from medsmith.formats.slicer import joined_segments, segments_of
from medsmith.formats.values import as_float32, as_labels
from medsmith.formats.volume import ImageFile, LabelFile, ReadOptions, Region, check_only_volume
from medsmith.geometry import Geometry

SEGMENTS_ENDING = ".seg.nrrd"
ENDINGS = (SEGMENTS_ENDING, ".nrrd", ".nhdr", ".mha", ".mhd")
_DEFAULT = ReadOptions()


def read_header(path: Path) -> RawHeader:
    """The header of a file, by its ending."""
    return metaimage.read_header(path) if path.name.lower().endswith((".mha", ".mhd")) else nrrd.read_header(path)


def read_image(path: Path, options: ReadOptions = _DEFAULT) -> ImageFile:
    """One channel in stored units, with its grid.

    Raises:
        FileError: the extra is not installed, the file is damaged or of a form that is not read.
        GeometryError: the grid cannot be used, or the file has several volumes.
        ContentError: NaN or infinite voxels.
    """
    header, array, notes = _read_array(path)
    check_shape(header.shape, path)
    geometry, geometry_notes = _geometry(header, options)
    if header.components == 1:
        check_only_volume(options.volume, path)
    index = _volume_index(header, options)
    values, value_notes = as_float32(array[..., index], path, options)
    return ImageFile(values, geometry, array.dtype, (*notes, *geometry_notes, *value_notes))


def read_labels(path: Path, options: ReadOptions = _DEFAULT) -> LabelFile:
    """A label map with its grid; of a ``.seg.nrrd`` the segments, numbered as they come or as the options name them.

    Raises:
        FileError: the extra is not installed, the file is damaged or of a form that is not read.
        GeometryError: the grid cannot be used.
        ContentError: values that are no labels, or segments that overlap.
    """
    header, array, notes = _read_array(path)
    geometry, geometry_notes = _geometry(header, options)
    if path.name.lower().endswith(SEGMENTS_ENDING):
        # Cropped to its segments it may be small; see slicer.on_grid.
        labels = joined_segments(array, segments_of(header), options.segments, path)
        return LabelFile(labels, geometry, (*notes, *geometry_notes))
    check_shape(header.shape, path)
    if header.components > 1 and options.volume is None:
        joined, label_notes = joined_volumes(list(np.moveaxis(array, 3, 0)), path)
        return LabelFile(joined, geometry, (*notes, *geometry_notes, *label_notes))
    values = as_labels(array[..., _volume_index(header, options)], path)
    return LabelFile(values, geometry, (*notes, *geometry_notes))


def count_volumes(path: Path) -> int:
    """Number of volumes of a file; layers of segments count as one."""
    return 1 if path.name.lower().endswith(SEGMENTS_ENDING) else read_header(path).components


def read_grid(path: Path, options: ReadOptions = _DEFAULT) -> Geometry:
    """The grid of a file, from its header."""
    return _geometry(read_header(path), options)[0]


def read_image_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> Float32[np.ndarray, "x y z"]:
    """A region of ``read_image``."""
    return read_image(path, options).values[region]


def read_labels_region(path: Path, region: Region, options: ReadOptions = _DEFAULT) -> UInt8[np.ndarray, "x y z"]:
    """A region of ``read_labels``."""
    return read_labels(path, options).values[region]


def _read_array(path: Path) -> tuple[RawHeader, Shaped[np.ndarray, "x y z c"], tuple[str, ...]]:
    require_simpleitk(path)
    header = read_header(path)
    notes = header.check_data()
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError:  # its message is many lines of C++ source positions
        raise FileError(path, "SimpleITK cannot read it", cure="save it again, or convert it to NIfTI") from None
    values: Shaped[np.ndarray, "x y z c"] = (array[..., None] if array.ndim == 3 else array).transpose(2, 1, 0, 3)
    if values.shape != (*header.shape, header.components):
        found = f"SimpleITK reads {' x '.join(map(str, values.shape))} numbers"
        limit = f"the header gives {' x '.join(map(str, (*header.shape, header.components)))}"
        raise FileError(path, found, limit, "save it again")
    return header, values, notes


def _geometry(header: RawHeader, options: ReadOptions) -> tuple[Geometry, tuple[str, ...]]:
    check_affine(header.affine, header.shape, header.path)
    if header.oriented:
        return Geometry(header.shape, header.affine), ()
    said = " x ".join(f"{size:g}" for size in np.diag(header.affine)[:3])
    if not options.assume_spacing:
        cure = "pass --assume-spacing to take these as R, A, S"
        raise GeometryError(header.path, "no orientation is given", f"voxel sizes {said} mm", cure)
    return Geometry(header.shape, header.affine), (f"no orientation: {said} mm along R, A, S assumed",)


def _volume_index(header: RawHeader, options: ReadOptions) -> int:
    count = header.components
    if options.volume is None and count > 1:
        raise GeometryError(header.path, f"{count} volumes", "one is needed", f"pass --volume K, 0 to {count - 1}")
    if count > 1 and not 0 <= (options.volume or 0) < count:
        raise GeometryError(header.path, f"volume {options.volume} of {count}", "", f"choose 0 to {count - 1}")
    return (options.volume or 0) if count > 1 else 0
