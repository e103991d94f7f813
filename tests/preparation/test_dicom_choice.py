"""Which label objects belong to which image: found by what they refer to, in time proportional to their number."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from medsmith.formats.dicom.headers import Header
from medsmith.formats.dicom.series import Series
from medsmith.preparation.dicom.choice import choose_series
from medsmith.preparation.dicom.studies import Study

ROOT = Path("scans")
SLICES = 9


class Counted(frozenset[str]):
    """A set that counts how often it is gone through or compared."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        Counted.looked_at += 1
        return super().__iter__()

    def __and__(self, other):
        Counted.looked_at += 1
        return super().__and__(other)

    __rand__ = __and__


def header(study, series, instance, modality, referenced=frozenset()):
    return Header(
        path=ROOT / instance,
        place=instance,
        patient=study,
        study=study,
        series=series,
        instance=instance,
        modality=modality,
        number=1,
        description="",
        size=(5, 5),
        frames=0,
        gray=modality == "CT",
        flat=False,
        sized=True,
        localizer=False,
        referenced=Counted(referenced),
    )


def study(number, *, by_instances):
    """A scan, and two label objects on it."""
    name = f"{number}"
    instances = [f"{name}.{place}" for place in range(SLICES)]
    scan = Series(ROOT, tuple(header(name, f"{name}.ct", instance, "CT") for instance in instances))
    referenced = frozenset(instances[3:5] if by_instances else [f"{name}.ct"])
    labels = [
        Series(ROOT, (header(name, f"{name}.{kind}", f"{name}.{kind}", kind, referenced),))
        for kind in ("SEG", "RTSTRUCT")
    ]
    return Study(f"case_{number}", (labels[0], scan, labels[1]))


@pytest.mark.parametrize("by_instances", [False, True])
def test_each_image_has_the_objects_that_refer_to_it_and_each_is_looked_at_as_often_in_large_folders(by_instances):
    looked = []
    for count in (4, 16):
        studies = [study(number, by_instances=by_instances) for number in range(count)]
        Counted.looked_at = 0
        chosen, without_image, lost = choose_series(ROOT, studies, ())
        looked.append(Counted.looked_at / count)
        assert (without_image, lost) == ((), ())
        for one in studies:
            first, scan, last = one.series
            assert (chosen[one.id].image, chosen[one.id].drawn) == (scan, (first, last))
    assert looked[0] == looked[1] > 0
