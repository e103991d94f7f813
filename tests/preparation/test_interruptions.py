"""Commands that write cohorts end, after any interruption and the same call again, with the bytes of a calm call."""

import itertools
import shutil
from contextlib import suppress

import pytest

from cohort_cases import make_case, new_cohort
from faulty_disk import Killed, full_at, killed_at
from medsmith.errors import CohortError, MedsmithError
from medsmith.preparation.crop import CropOptions, crop
from medsmith.preparation.merge import merge
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare
from medsmith.preparation.split import split
from scan_files import listing

COUNT = 2


def silent(_):
    """Takes a line and drops it."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two real cohorts with reports."""
    root = tmp_path_factory.mktemp("sources")
    for name in ("one", "two"):
        cohort = new_cohort(root / name, ending=".nii.gz")
        for index in range(COUNT):
            case = make_case(f"c{index}", index, report={"lesions": []})
            cohort.write(case)
        cohort.finish()
    return root


def prepared(sources, out):
    prepare(sources / "one", out / "a", PrepareOptions(), report=silent)


def parted(sources, out):
    split(sources / "one", out / "a", out / "b", test_fraction=0.5, report=silent)


def merged(sources, out):
    merge([sources / "one", sources / "two"], out / "a", report=silent)


def cropped(sources, out):
    crop(sources / "one", out / "a", CropOptions((12, 12, 1), "center"), report=silent)


COMMANDS, FAULTS = [prepared, parted, merged, cropped], [killed_at, full_at]


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted_anywhere_the_same_call_ends_with_the_bytes_of_a_calm_one(command, fault, step, sources, tmp_path):
    """At every change of the disk, or at every fifth, from another on for each command and fault."""
    first = 1 + (2 * COMMANDS.index(command) + 3 * FAULTS.index(fault)) % step
    command(sources, tmp_path / "calm")
    calm = listing(tmp_path / "calm")
    assert sum("/reports/" in name for name in calm) == (2 if command is not merged else 4)
    hit = []
    for number in itertools.count(first, step):
        out = tmp_path / str(number)
        with fault(number) as struck, suppress(Killed, MedsmithError, OSError):
            command(sources, out)
        command(sources, out)
        assert listing(out) == calm, f"change {number}: {struck}"
        if not struck:
            break
        hit += struck
    assert len(hit) * step > 10 * COUNT  # temporary and final image, label and report of each case; folders, records


@pytest.mark.parametrize("length", [200, 201, 240])
def test_ids_that_would_be_too_long_are_refused_before_anything_is_written(length, tmp_path):
    source, name = new_cohort(tmp_path / "source", ending=".nii.gz"), "x" * length
    source.write(make_case("y"))
    source.finish()
    for folder, channel in (("imagesTr", "_0000"), ("labelsTr", "")):
        path = tmp_path / "source" / folder / f"y{channel}.nii.gz"
        path.with_name(f"{name}{channel}.nii.gz").write_bytes(path.read_bytes())
    shutil.copytree(tmp_path / "source", tmp_path / "other")
    calls = {
        "merged": lambda out: merge([tmp_path / "source", tmp_path / "other"], out, report=silent),
        "sliding": lambda out: crop(tmp_path / "source", out, CropOptions((8, 8, 1), "sliding"), report=silent),
        "parted": lambda out: split(tmp_path / "source", out, tmp_path / "test", test_fraction=0.5, report=silent),
        "cropped": lambda out: crop(tmp_path / "source", out, CropOptions((8, 8, 1), "center"), report=silent),
    }
    for name, call in list(calls.items())[: 2 if length == 200 else 4]:
        with pytest.raises(CohortError, match="is no portable file name"):
            call(tmp_path / name)
        assert not (tmp_path / name).exists()
