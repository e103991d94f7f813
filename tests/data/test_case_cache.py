"""Decoded cases between two passes: the same case again, bit for bit, and each file decoded once."""

import resource
from dataclasses import replace

import numpy as np
import pytest

import micro
from medsmith.cases.cohort import Cohort
from medsmith.data.case_cache import CaseCache, cached_cases


def mixed(folder, dimensions):
    cases = [micro.micro_case(index, dimensions, 2) for index in range(4)]
    cases[1] = replace(cases[1], labels=None)
    cases[2] = replace(cases[2], image=None)
    first, ending = cases[0], ".png" if dimensions == 2 else ".nii.gz"
    cohort = Cohort.create(folder, channel_names=first.channel_names, label_names=first.label_names, file_ending=ending)
    for case in cases:
        cohort.write(case)
    cohort.finish()
    return Cohort.open(folder)


def same(found, expected):
    for part in ("image", "labels"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert np.array_equal(ours, theirs)
            assert (ours.dtype, ours.strides[-3:]) == (theirs.dtype, theirs.strides[-3:])
    assert np.array_equal(found.geometry.affine, expected.geometry.affine)
    assert (found.id, found.channel_names, found.stored) == (expected.id, expected.channel_names, expected.stored)


@pytest.fixture
def decoded(monkeypatch):
    """Ids of the cases that were decoded."""
    seen, read = [], Cohort.read

    def watched(cohort, case_id, options=None):
        seen.append(case_id)
        return read(cohort, case_id, options)

    monkeypatch.setattr(Cohort, "read", watched)
    return seen


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_case_comes_back_as_it_was_and_is_decoded_once(dimensions, decoded, tmp_path):
    cohort = mixed(tmp_path / "c", dimensions)
    expected = {id: cohort[id] for id in cohort.ids}
    decoded.clear()
    with cached_cases(cohort, tmp_path / "cache") as cases:
        assert [case.id for case in cases] == list(cohort.ids)
        for id in cohort.ids:
            same(cases(id), expected[id])
    assert decoded == list(cohort.ids)
    assert not (tmp_path / "cache").exists()


def test_an_image_that_its_stored_dtype_cannot_hold_is_kept_in_float32(tmp_path):
    cohort = mixed(tmp_path / "c", 3)
    case = replace(cohort["case_0"], image=cohort["case_0"].require_image() + np.float32(0.25))
    (tmp_path / "cache").mkdir()
    cache = CaseCache(cohort, tmp_path / "cache", 10**9)
    cache._store(case)
    assert np.array_equal(cache("case_0").require_image(), case.require_image())


def test_cases_beyond_the_room_are_read_again(decoded, tmp_path):
    cohort = mixed(tmp_path / "c", 3)
    (tmp_path / "cache").mkdir()
    budget = 12 * 10 * 9 * 3  # int16 and uint8 of one whole case
    cache = CaseCache(cohort, tmp_path / "cache", budget)
    list(cache)
    decoded.clear()
    for id in cohort.ids:
        same(cache(id), cohort[id])
    assert decoded.count("case_0") == 1  # by the comparison alone
    assert decoded.count("case_3") == 2


@pytest.mark.parametrize("dimensions", [2, 3])
def test_on_a_full_disk_cases_are_read_again(dimensions, tmp_path):
    """Small arrays too, which C's buffer takes and loses when the file is closed."""
    cohort = mixed(tmp_path / "c", dimensions)
    (tmp_path / "cache").mkdir()
    cache, limits = CaseCache(cohort, tmp_path / "cache", 10**9), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        cases = list(cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(cases) == 4
    for id in cohort.ids:
        same(cache(id), cohort[id])
