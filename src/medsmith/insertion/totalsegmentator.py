"""Organ segmentation by TotalSegmentator (Wasserthal et al. 2023), run as an external program."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.organ_file import read_organ_map
from medsmith.insertion.organ_map import OrganMap

COMMAND = "TotalSegmentator"
_LONGEST_OUTPUT = 300


def segment(scan: Path, geometry: Geometry) -> OrganMap:
    """The organ map of a scan by TotalSegmentator.

    Args:
        scan: a NIfTI file of the CT.
        geometry: its grid, axes in file order.

    Raises:
        RequestError: the program is not installed, or fails.
        FileError: its output cannot be read.
        GeometryError: its output is not on the scan's grid.
        ContentError: its output has no organ.
    """
    program = shutil.which(COMMAND)
    if program is None:
        raise not_installed()
    with tempfile.TemporaryDirectory(prefix="medsmith-") as folder:
        found = Path(folder) / "organs.nii.gz"
        run = subprocess.run(
            [program, "-i", str(scan), "-o", str(found), "--ml"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if run.returncode or not found.exists():
            raise RequestError(COMMAND, *_failure(run.returncode, run.stdout), f"run it on {scan} by hand to see why")
        # Version 2 writes the names of its labels into the file; version 1 does not.
        return read_organ_map(found, scan, geometry, "v1")


def not_installed() -> RequestError:
    """The error where the program is not found."""
    cure = "install it (pip install TotalSegmentator), or give a label map"
    return RequestError(COMMAND, "is not installed", "no such program on PATH", cure)


def _failure(code: int, output: str) -> tuple[str, str]:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    output_end = lines[-1][-_LONGEST_OUTPUT:] if lines else "nothing"
    return (f"ended with code {code}" if code else "wrote no label map"), f"its last line: {output_end}"
