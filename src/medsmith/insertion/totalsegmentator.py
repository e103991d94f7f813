"""Organs by TotalSegmentator (Wasserthal et al. 2023), run as a program of its own where it is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.organ_file import read_organ_map
from medsmith.insertion.organ_map import OrganMap

COMMAND = "TotalSegmentator"
_SHOWN = 300


def segment(scan: Path, geometry: Geometry) -> OrganMap:
    """The organs of a scan, as TotalSegmentator finds them.

    Args:
        scan: a NIfTI file of the CT.
        geometry: its grid, axes in file order.

    Raises:
        RequestError: the program is not installed, or fails.
        FileError: what it wrote cannot be read.
        GeometryError: what it wrote does not lie on the scan's grid.
        ContentError: it wrote no organ.
    """
    program = shutil.which(COMMAND)
    if program is None:
        cure = "install it (pip install TotalSegmentator), or give a label map"
        raise RequestError(COMMAND, "is not installed", "no such program on PATH", cure)
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


def _failure(code: int, output: str) -> tuple[str, str]:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = lines[-1][-_SHOWN:] if lines else "nothing"
    return (f"ended with code {code}" if code else "wrote no label map"), f"its last line: {said}"
