"""Cohorts joined into one."""

import cProfile
from dataclasses import replace

import numpy as np
import pytest

from cohort_copies import write_copies
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, RequestError
from medsmith.geometry import Geometry
from medsmith.preparation import merge
from medsmith.synthesis.tasks import CaseIds, CohortSpec
from medsmith.synthesis.worker import open_cohort


def silent(_line):
    return None


def cohort(root, names, *, channel="CT", count=2, edge=9):
    """Scans with labels; labels alone where no channel is named."""
    channels = (channel,) if channel else ()
    out = Cohort.create(root, channel_names=channels, label_names=names, file_ending=".nii.gz")
    for number in range(count):
        rng = np.random.default_rng(number)
        labels = np.zeros((edge, edge, edge), np.uint8)
        labels[2:5, 2:5, 2:5] = max(names.values())
        case = Case(
            id=f"a{number}",
            image=rng.integers(-1000, 1000, (1, edge, edge, edge)).astype(np.float32) if channel else None,
            labels=labels,
            geometry=Geometry(labels.shape, np.diag([1.0, 1.0, 2.0, 1.0])),
            channel_names=channels,
            label_names=names,
            stored=np.dtype(np.int16),
            report={"lesions": []},
        )
        out.write(case)
    out.finish()
    return Cohort.open(root)


def test_labels_are_joined_by_their_names_and_images_stay(tmp_path):
    first = cohort(tmp_path / "first", {"background": 0, "liver": 1, "lesion": 2})
    second = cohort(tmp_path / "second", {"background": 0, "lesion": 1})
    said: list[str] = []
    merged = merge([first.root, second.root], tmp_path / "out", report=said.append)
    assert merged.ids == ("first-a0", "first-a1", "second-a0", "second-a1")
    assert dict(merged.label_names) == {"background": 0, "liver": 1, "lesion": 2}
    assert said == ["first: 2 cases", "second: 2 cases"]
    again = Cohort.open(tmp_path / "out")
    assert np.array_equal(again["first-a1"].require_image(), first["a1"].require_image())
    assert np.array_equal(again["second-a0"].labels == 2, second["a0"].labels == 1)
    assert again["second-a0"].geometry.spacing == (1.0, 1.0, 2.0)


def test_labels_alone_stay_alone_beside_scans(tmp_path):
    scans = cohort(tmp_path / "scans", {"background": 0, "lesion": 1})
    masks = cohort(tmp_path / "masks", {"background": 0, "nodule": 1}, channel="")
    said: list[str] = []
    merged = merge([scans.root, masks.root], tmp_path / "out", report=said.append)
    assert said == ["scans: 2 cases", "masks: 2 cases (labels alone)"]
    case = merged["masks-a0"]
    assert case.image is None
    assert case.channel_names == ("CT",)
    assert np.array_equal(case.labels == 2, masks["a0"].labels == 1)
    assert merged["scans-a0"].image is not None
    again = Cohort.open(tmp_path / "out")
    assert (len(again), len(again.ids_with_image), len(again.ids_with_labels)) == (4, 2, 4)


def test_masks_alone_stay_masks(tmp_path):
    folders = [cohort(tmp_path / name, {"background": 0, "nodule": 1}, channel="").root for name in "ab"]
    merged = merge(folders, tmp_path / "out", report=silent)
    assert merged.channel_names == ()
    assert merged["a-a0"].image is None


def test_the_same_call_goes_on_and_another_is_refused(tmp_path):
    folders = [cohort(tmp_path / name, {"background": 0, "lesion": 1}).root for name in "ab"]
    merge(folders, tmp_path / "out", report=silent)
    before = (tmp_path / "out" / "labelsTr" / "a-a0.nii.gz").stat().st_mtime_ns
    merge(folders, tmp_path / "out", report=silent)
    assert (tmp_path / "out" / "labelsTr" / "a-a0.nii.gz").stat().st_mtime_ns == before
    third = cohort(tmp_path / "c", {"background": 0, "lesion": 1}).root
    with pytest.raises(CohortError, match=r"merge.json differs in sources.*choose a new folder"):
        merge([folders[0], third], tmp_path / "out", report=silent)


def test_what_does_not_go_together_is_refused_by_name(tmp_path):
    ct = cohort(tmp_path / "ct", {"background": 0, "lesion": 1})
    mr = cohort(tmp_path / "mr", {"background": 0, "lesion": 1}, channel="T1")
    with pytest.raises(CohortError, match="ct has CT; mr has T1; channels must be the same"):
        merge([ct.root, mr.root], tmp_path / "out", report=silent)
    with pytest.raises(RequestError, match="1 cohorts; two or more"):
        merge([ct.root], tmp_path / "out", report=silent)
    twin = cohort(tmp_path / "deep" / "ct", {"background": 0, "lesion": 1})
    with pytest.raises(RequestError, match="two folders of one name"):
        merge([ct.root, twin.root], tmp_path / "out", report=silent)
    assert not (tmp_path / "out").exists()


def test_cases_that_would_get_one_id_are_refused(tmp_path):
    names = {"background": 0, "lesion": 1}
    first, second = cohort(tmp_path / "a", names), cohort(tmp_path / "a-b", names)
    twin = replace(second.stored(second.ids[0]), id=f"b-{second.ids[0]}")
    writable = Cohort.create(first.root, channel_names=first.channel_names, label_names=names, file_ending=".nii.gz")
    writable.write(twin)
    writable.finish()
    with pytest.raises(RequestError, match=f"would both be a-b-{second.ids[0]}"):
        merge([first.root, second.root], tmp_path / "out", report=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_merge_makes_as_many_calls_for_each_case_of_many_as_of_few(tmp_path):
    spec = CohortSpec(channel_names=("gray",), label_names={"background": 0, "lesion": 1}, file_ending=".png")
    calls: list[int] = []
    for count in (8, 8, 16, 32):  # the first call of all imports
        folder = tmp_path / str(len(calls))
        for name, many in (("one", count), ("other", 2)):
            write_copies(open_cohort(folder / name, spec), CaseIds("case", range(many)))
        profile = cProfile.Profile()
        profile.runcall(merge, [folder / "one", folder / "other"], folder / "merged")
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    of_eight, of_sixteen = calls[2] - calls[1], calls[3] - calls[2]
    assert of_sixteen == pytest.approx(2 * of_eight, rel=0.02)
