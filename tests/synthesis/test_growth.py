"""Folders are listed as often for many cases as for few, whatever is done with them."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from medsmith.synthesis import Shard, join_shards, synthesize, synthesize_shards, unpack
from synthesis_fakes import in_process, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")
FEW, MANY = 3, 12


@pytest.fixture
def listings(tmp_path, monkeypatch):
    """Names of the folders that are listed, as far as they are those of the test."""
    found: list[str] = []

    def counted(function):
        def listing(path="."):
            if not isinstance(path, int) and Path(path).is_relative_to(tmp_path):
                found.append(Path(path).name)
            return function(path)

        return listing

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return found


def whole(folder, count):
    synthesize(folder / "run", folder / "out", count=count, workers=1, options=in_process())


def again(folder, count):
    synthesize(folder / "run", folder / "whole", count=count, workers=1, options=in_process())


def joined(folder, _count):
    join_shards([folder / "part-1", folder / "part-2"], folder / "out")


def tar_shards(folder, count):
    synthesize_shards(folder / "run", folder / "out", count=count, workers=1, options=in_process())


def unpacked(folder, _count):
    unpack(folder / "tars", folder / "out")


@pytest.mark.parametrize("step", [whole, again, joined, tar_shards, unpacked])
def test_folders_are_listed_as_often_for_many_cases_as_for_few(step, tmp_path, listings):
    found = {}
    for count in (FEW, MANY):
        folder = tmp_path / str(count)
        write_run(folder / "run", empty=0)
        match step.__name__:
            case "again":
                synthesize(folder / "run", folder / "whole", count=count, workers=1, options=in_process())
            case "unpacked":
                synthesize_shards(folder / "run", folder / "tars", count=count, workers=1, options=in_process())
            case "joined":
                for number in (1, 2):
                    part = replace(in_process(), shard=Shard(number, 2))
                    synthesize(folder / "run", folder / f"part-{number}", count=count, workers=1, options=part)
        listings.clear()
        step(folder, count)
        found[count] = Counter(listings)
    assert found[FEW] == found[MANY]
    assert found[FEW].total() > 0
