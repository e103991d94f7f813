"""Cohorts whose first channels are not the same one are not searched for copies of each other."""

import json
from dataclasses import replace

import pytest

from medsmith import phantom
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError
from medsmith.evaluation.privacy.inputs import check_cohorts


def with_channels(root, *names):
    """Four pictures, each as every channel."""
    cohort = phantom("breast", root, 4, size=32)
    facts = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**facts, "channel_names": dict(enumerate(names))}))
    for path in (root / "imagesTr").iterdir():
        for number in range(1, len(names)):
            path.with_name(path.name.replace("_0000", f"_{number:04d}")).write_bytes(path.read_bytes())
    assert cohort.ids == Cohort.open(root).ids_with_image
    return Cohort.open(root)


def test_another_first_channel_is_refused(tmp_path):
    training = with_channels(tmp_path / "training", "T1", "T2")
    turned = with_channels(tmp_path / "turned", "T2", "T1")
    with pytest.raises(CohortError) as caught:
        check_cohorts({"synthetic": turned, "training": training})
    assert caught.value.line == (
        f"{turned.root}: has the channels T2, T1; {training.root} has T1, T2, and first channels are searched; "
        "give cohorts with their channels in one order"
    )
    check_cohorts({"synthetic": with_channels(tmp_path / "more", "T1", "T2", "T3"), "training": training})
    other = with_channels(tmp_path / "other", "MR")
    with pytest.raises(CohortError) as caught:
        check_cohorts({"synthetic": other, "training": training})
    assert caught.value.line == (
        f"{other.root}: has the channels MR; {training.root} has T1, T2, and first channels are searched; "
        "give cohorts that have it, or rename one in dataset.json"
    )


def test_label_maps_alone_have_no_channels_that_could_be_in_another_order(tmp_path):
    cohort = phantom("breast", tmp_path / "whole", 4, size=32)
    maps = Cohort.create(
        tmp_path / "maps", channel_names=(), label_names=cohort.label_names, file_ending=cohort.file_ending
    )
    for case in cohort:
        maps.write(replace(case, image=None, channel_names=()))
    maps.finish()
    check_cohorts({"synthetic": cohort, "training": Cohort.open(maps.root)})
    check_cohorts({"synthetic": Cohort.open(maps.root), "training": cohort})
