"""Ranges of label maps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsmith.data.label_facts import LabelFacts

LIVER, TUMOR = 1, 2


def organ(edge=10, tumor=2, at=6, shape=(16, 16, 16), parts=1):
    labels = np.zeros(shape, np.uint8)
    labels[2 : 2 + edge, 2 : 2 + edge, 2 : 2 + edge] = LIVER
    for part in range(parts):
        labels[at : at + tumor, at : at + tumor, 4 + 4 * part : 4 + 4 * part + tumor] = TUMOR
    return labels


FACTS = LabelFacts.of([organ(9), organ(10, parts=2), organ(11, tumor=3), organ(tumor=0)], 3)


def test_volumes_and_components_are_those_of_the_cubes():
    assert FACTS.volumes[LIVER].tolist() == [9**3 - 8, 11**3 - 27]
    assert FACTS.volumes[TUMOR].tolist() == [8, 27]
    assert FACTS.parts[TUMOR].tolist() == [1, 2]
    assert FACTS.smallest[TUMOR] == 8
    assert {tuple(row) for row in FACTS.patterns.tolist()} == {(True, True, True), (True, True, False)}


def test_a_contact_is_the_share_of_faces():
    # A tumor inside the liver touches nothing else; a liver without one touches the background alone.
    assert FACTS.contacts[TUMOR, LIVER].tolist() == [1, 1]
    assert FACTS.contacts[TUMOR, 0].tolist() == [0, 0]
    half = organ(10, tumor=0)
    half[:, :, 8:] = 0
    half[6:8, 6:8, 6:8] = TUMOR  # one of six sides of the tumor is free
    contacts = LabelFacts.of([half], 3).contacts
    assert contacts[TUMOR, 0].tolist() == pytest.approx([1 / 6, 1 / 6])


def test_training_maps_are_legal():
    for labels in (organ(9), organ(10, parts=2), organ(11, tumor=3), organ(tumor=0)):
        assert FACTS.problems(labels) == ()


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (organ(14), "volume of 1"),
        (organ(10, tumor=5, at=4), "volume of 2"),
        (organ(10, at=13), "contact of 2 with 0"),
        (organ(10, parts=3), "parts of 2"),
        (np.where(organ() == LIVER, 0, organ()), "classes that never occur together"),
    ],
)
def test_what_is_not_as_in_training_is_named(labels, problem):
    assert problem in FACTS.problems(np.asarray(labels, np.uint8))


def test_a_fragment_becomes_what_is_around_it_and_the_rest_stays():
    labels = organ()
    clean = labels.copy()
    labels[4, 4, 9] = TUMOR
    labels[15, 15, 15] = LIVER
    assert np.array_equal(FACTS.without_fragments(labels), clean)
    assert np.array_equal(FACTS.without_fragments(clean), clean)


def test_a_gap_of_a_voxel_in_a_vessel_is_closed():
    whole = np.zeros((12, 12, 12), np.uint8)
    whole[1:11, 1:11, 1:11] = LIVER
    whole[6, 6, 2:10] = TUMOR
    broken = whole.copy()
    broken[6, 6, 5] = LIVER
    facts = LabelFacts.of([whole], 3)
    assert "parts of 2" in facts.problems(broken)
    assert np.array_equal(facts.without_fragments(broken), whole)


def test_parts_beyond_their_number_go_smallest_first():
    whole = np.zeros((16, 12, 12), np.uint8)
    whole[1:15, 1:11, 1:11] = LIVER
    whole[3:6, 5:8, 5:8] = TUMOR
    more = whole.copy()
    more[10:12, 5:8, 5:9] = TUMOR
    facts = LabelFacts.of([whole], 3)
    assert "parts of 2" in facts.problems(more)
    assert np.array_equal(facts.without_fragments(more), whole)


@given(st.integers(0, 2**32 - 1))
def test_training_maps_stay_as_they_are(seed):
    labels = np.random.default_rng(seed).integers(0, 3, (5, 6, 4)).astype(np.uint8)
    assert np.array_equal(LabelFacts.of([labels], 3).without_fragments(labels), labels)


def test_facts_survive_the_memory_of_a_method():
    memory = FACTS.tensors()
    assert all(isinstance(tensor, torch.Tensor) for tensor in memory.values())
    again = LabelFacts.from_memory(memory)
    assert again is not None
    assert all(np.array_equal(getattr(again, name), getattr(FACTS, name)) for name in LabelFacts.__annotations__)
    assert LabelFacts.from_memory({}) is None


@given(st.integers(0, 2**32 - 1))
def test_every_map_is_legal_by_its_own_facts(seed):
    labels = np.random.default_rng(seed).integers(0, 3, (5, 6, 4)).astype(np.uint8)
    assert LabelFacts.of([labels], 3).problems(labels) == ()
