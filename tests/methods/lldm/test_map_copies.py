"""Copies of training maps among the maps from noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from medsmith.data.label_agreement import agreements
from medsmith.data.label_facts import LabelFacts
from medsmith.methods.label_maps import DrawnMap, draw_legal
from medsmith.methods.lldm.map_copies import MapGallery

SEEDS = st.integers(0, 2**32 - 1)


def some_maps(seed, count, classes=3, shape=(6, 5, 4)):
    return np.random.default_rng(seed).integers(0, classes, (count, *shape), dtype=np.uint8)


def ball(center, radius=5.0, edge=24):
    axes = np.indices((edge,) * 3) - np.reshape(center, (3, 1, 1, 1))
    return ((axes**2).sum(0) < radius**2).astype(np.uint8)


@given(SEEDS)
def test_of_one_class_the_agreement_is_the_jaccard_index(seed):
    one, other = some_maps(seed, 2, classes=2).reshape(2, -1)
    found = agreements(one[None], other[None])[0, 0]
    assert found == pytest.approx(jaccard_score(one, other, zero_division=0.0), abs=1e-6)


@given(SEEDS)
def test_the_agreement_is_that_of_the_definition(seed):
    maps = some_maps(seed, 3).reshape(3, -1)
    found = agreements(maps, maps)
    for row, one in enumerate(maps):
        for column, other in enumerate(maps):
            same, either = ((one == other) & (one > 0)).sum(), ((one > 0) | (other > 0)).sum()
            assert found[row, column] == pytest.approx(same / either, abs=1e-6)


def test_maps_without_labels_are_no_copies_of_each_other():
    empty = np.zeros((4, 4, 4), np.uint8)
    gallery = MapGallery.of([empty, ball((8, 8, 8), edge=24)[:4, :4, :4], empty])
    assert gallery.nearest(empty)[1] == 0


def test_the_threshold_is_what_different_maps_reach():
    maps = [ball((center, 12, 12)) for center in (8, 10, 16)]
    gallery = MapGallery.of(maps)
    nearest = agreements(maps[0].reshape(1, -1), maps[1].reshape(1, -1))[0, 0]
    assert gallery.threshold == pytest.approx(nearest, rel=0.02)
    assert MapGallery.of([*maps, maps[0]]).threshold == pytest.approx(gallery.threshold, rel=0.02)
    assert MapGallery.of(maps[:1]).threshold == 1.0
    index, agreement = gallery.nearest(maps[2])
    assert (index, agreement) == (2, 1.0)


def test_a_copy_is_drawn_again_and_named_if_there_is_nothing_else():
    maps = [ball((center, 12, 12)) for center in (8, 10, 14)]
    facts, gallery = LabelFacts.of(maps, 2), MapGallery.of(maps)
    new = DrawnMap(ball((12, 12, 10)))
    draws = iter([DrawnMap(maps[2]), DrawnMap(maps[0]), new])
    found = draw_legal(lambda _: next(draws), facts, 0, 3, gallery.compared)
    assert np.array_equal(found.labels, new.labels)
    assert (found.draws, found.problems) == (3, ())
    assert found.origin["agreement"] <= gallery.threshold
    copied = draw_legal(lambda _: replace(new, labels=maps[2]), facts, 0, 2, gallery.compared)
    assert copied.problems == ("a copy of a training map (number 2)",)
    assert copied.origin == {"nearest_map": 2, "agreement": 1.0}
