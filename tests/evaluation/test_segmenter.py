"""Segmentation networks: learning, phases, mixtures, seeds."""

import pytest
import torch

from box_cohorts import a_case, make_cohort
from medsmith.errors import TrainingError
from medsmith.evaluation.downstream import segmenter
from medsmith.evaluation.downstream.loaded_cohort import hash_of, load_cohort
from medsmith.evaluation.downstream.segmenter import Mixture, SegmenterConfig, dice_of_cases, train_segmenter

QUICK = SegmenterConfig(steps=3, batch=4, channels=4)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Real and test cases."""
    root = tmp_path_factory.mktemp("segmenter")
    return make_cohort(root / "real", 6, 0), make_cohort(root / "test", 5, 2)


def pool(cohort, edge=24):
    return load_cohort(cohort, edge, lambda *_: None)


def test_the_network_learns_what_is_there_to_learn(cohorts):
    real, test = cohorts
    of_real, of_test = pool(real), pool(test)
    training = SegmenterConfig(steps=60, batch=8, channels=8, learning_rate=5e-3)
    network = train_segmenter([(of_real.images, of_real.labels)], 2, training, 0, lambda *_: None)
    assert dice_of_cases(network, of_test, 2).mean() > 0.7


def test_the_seed_decides_the_weights_and_nobody_else_is_disturbed(cohorts):
    of_real = pool(cohorts[0])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (
        train_segmenter([(of_real.images, of_real.labels)], 2, QUICK, seed, lambda *_: None).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_one_image_in_two_files_has_one_hash(cohorts):
    case = cohorts[0][cohorts[0].ids[0]]
    renamed = a_case("other", case.image[0].copy(), case.labels * 0, cohorts[0], True)
    assert hash_of(case) == hash_of(renamed)
    assert hash_of(case) != hash_of(cohorts[0][cohorts[0].ids[1]])


@pytest.mark.parametrize(("share", "batch"), [(0.5, 4), (0.25, 4), (0.3, 4), (0.9, 1)])
def test_a_mixture_keeps_its_share(share, batch):
    cases = (torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64))
    mixture = Mixture(cases, cases, share)
    counts = [mixture.synthetic_in(step, batch) for step in range(100)]
    assert sum(counts) == round(100 * share * batch)
    assert max(counts) - min(counts) <= 1


def test_a_synthetic_case_weighs_as_asked(cohorts):
    of_real = pool(cohorts[0])
    cases = (of_real.images, of_real.labels)
    wrong = (of_real.images, 1 - of_real.labels)
    training = SegmenterConfig(steps=40, batch=6, channels=6, learning_rate=5e-3)

    def learned(phase):
        return dice_of_cases(train_segmenter([phase], 2, training, 0, lambda *_: None), of_real, 2).mean()

    light, heavy = (learned(Mixture(cases, wrong, 0.5, weight)) for weight in (0.01, 100.0))
    assert light > 0.5 > heavy
    parts, weights = segmenter._drawn(Mixture(cases, wrong, 0.25, 3.0), 0, 8, torch.Generator())
    assert [len(part[0]) for part in parts] == [6, 2]
    assert weights == pytest.approx([6 / 12, 6 / 12])


@pytest.mark.parametrize(("steps", "learnt_from"), [(4, [3, 3, 5, 5]), (3, [3, 3, 5]), (2, [3, 5])])
def test_courses_share_the_steps_in_their_order(cohorts, monkeypatch, steps, learnt_from):
    of_real, seen, batch = pool(cohorts[0]), [], segmenter._batch

    def noting(images, *others):
        seen.append(len(images))
        return batch(images, *others)

    monkeypatch.setattr(segmenter, "_batch", noting)
    phases = [(of_real.images[:3], of_real.labels[:3]), (of_real.images[:5], of_real.labels[:5])]
    train_segmenter(phases, 2, QUICK.model_copy(update={"steps": steps}), 0, lambda *_: None)
    assert seen == learnt_from


def test_two_courses_of_the_same_cases_are_one(cohorts):
    of_real = pool(cohorts[0])
    phase = (of_real.images, of_real.labels)
    once, twice = (
        train_segmenter(phases, 2, QUICK, 0, lambda *_: None).state_dict() for phases in ([phase], [phase, phase])
    )
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_a_loss_that_is_not_finite_stops_the_training(cohorts):
    of_real = pool(cohorts[0])
    cases = (of_real.images * torch.nan, of_real.labels)
    with pytest.raises(TrainingError, match=r"resunet, step 3: loss nan; a finite loss; lower the learning rate"):
        train_segmenter([cases], 2, QUICK, 0, lambda *_: None)
