"""The search for copies in two steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, zoom
from skimage.feature import match_template

from medsmith.data.copies import Match, Searchable, find_matches, joined, moved, overlaid
from medsmith.data.resizing import resize
from medsmith.data.similarity import Move, best_moves, correlations, search, similarities, symmetries, zoomed


def fields(count, shape, seed):
    """Smooth random images: no two alike, all of one law."""
    rng = np.random.default_rng(seed)
    sigma = [0.03 * edge if edge > 1 else 0 for edge in shape]
    images = [gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap") for _ in range(count)]
    return [(100 + 40 * image / image.std()).astype(np.float32)[None] for image in images]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_correlations_are_those_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    view, template = rng.random((9, 8, 7)).astype(np.float32), rng.random((6, 5, 7)).astype(np.float32)
    expected = match_template(view.astype(np.float64), template.astype(np.float64))
    found = correlations(view, template[None])[0].reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_zooming_is_about_the_center_and_is_that_of_the_coordinates():
    ramp = np.arange(11, dtype=np.float32)[None, :, None, None] + np.zeros((1, 11, 11, 1), np.float32)
    found = zoomed(ramp, 1.25)[0, :, 5, 0]
    np.testing.assert_allclose(found, 5 + (np.arange(11) - 5) / 1.25, atol=1e-5)
    assert zoomed(ramp, 1.0) is ramp
    assert zoomed(ramp, 0.5)[0, 0, 0, 0] == 0  # outside, the outermost value


def test_a_search_is_at_least_the_similarity_and_indifferent_to_the_sign():
    queries, gallery = (np.stack([f[0] for f in fields(4, (32, 32, 1), seed)]) for seed in (0, 1))
    found = search(queries, gallery)
    assert (found >= similarities(queries, gallery) - 1e-6).all()
    np.testing.assert_allclose(search(-queries, gallery), found, atol=1e-6)


@pytest.mark.parametrize("symmetry", range(8))
def test_the_best_move_is_the_one_that_was_made(symmetry):
    image = fields(1, (32, 32, 1), 2)[0][0]
    turned = list(symmetries(image))[symmetry]
    (move,) = best_moves(np.ascontiguousarray(turned), image[None])
    np.testing.assert_allclose(moved(turned, move), image)
    assert (move.zoom, move.inverted, move.start) == (1.0, False, (4, 4, 0))


COPIES = {
    "exact": lambda image: image,
    "inverted": lambda image: 255 - image,
    "shifted": lambda image: np.roll(image, (5, -3), (1, 2)),
    "flipped": lambda image: image[:, ::-1],
    "brighter": lambda image: 0.3 * image + 70,
    "gamma": lambda image: (image - image.min()) ** 0.6,
    "cropped by a tenth": lambda image: image[:, 3:-3, 3:-3],
    "enlarged view": lambda image: np.pad(image, [(0, 0), (3, 3), (3, 3), (0, 0)], "edge"),
}


@pytest.fixture(scope="module")
def training():
    """Images, prepared for the search, and the largest similarity of others to them."""
    images = fields(12, (64, 64, 1), 1)
    gallery = Searchable.of(images)
    others = find_matches(Searchable.of(fields(12, (64, 64, 1), 2)), gallery)
    return images, gallery, max(match.similarity for match in others.matches)


@pytest.mark.parametrize("name", COPIES)
def test_every_planted_copy_is_matched_above_what_others_reach(name, training):
    images, gallery, chance = training
    copies = Searchable.of([np.ascontiguousarray(COPIES[name](image), np.float32) for image in images[:3]])
    found = find_matches(copies, gallery)
    assert [match.index for match in found.matches] == [0, 1, 2]
    assert min(match.similarity for match in found.matches) > max(chance, 0.85)
    assert all(match.move.inverted == (name == "inverted") for match in found.matches)
    assert found.reached[:3].min() > found.reached[3:].max()


@pytest.mark.parametrize("flip", [(), (1,), (2, 3)])
def test_copies_of_volumes_are_matched(flip):
    training = fields(5, (24, 24, 20), 3)
    change = [np.flip(zoom(image, (1, 1, 1, 1.2), order=1), flip).astype(np.float32) for image in training[:2]]
    found = find_matches(Searchable.of(change), Searchable.of(training))
    assert [match.index for match in found.matches] == [0, 1]
    assert min(match.similarity for match in found.matches) > 0.9


def test_an_image_is_not_compared_with_itself():
    images = fields(3, (64, 64, 1), 5)
    twins = Searchable.of([*images, images[0]])
    found = find_matches(twins, twins, own=range(4))
    assert [match.index for match in found.matches][::3] == [3, 0]
    assert found.matches[1].index != 1
    assert found.matches[1].similarity < 0.8


def test_a_match_survives_json():
    match = Match(3, 0.75, 0.5, Move(0.94, 2, True, (8, 7, 0)))
    assert Match.from_json(match.as_json()) == match


def test_a_copy_is_overlaid_on_its_original():
    original = fields(1, (64, 64, 1), 6)[0]
    copy = np.roll(original, (4, -4), (1, 2))[:, ::-1].copy()
    (match,) = find_matches(Searchable.of([copy]), Searchable.of([original])).matches
    for edge in (64, 128):
        ours, theirs = (resize(image[0], (edge, edge, 1)) for image in (copy, original))
        inner = slice(edge // 8, -edge // 8)
        found = overlaid(ours, match.move)[inner, inner].ravel()
        assert np.corrcoef(found, theirs[inner, inner].ravel())[0, 1] > 0.99


def test_flat_images_resemble_nothing_and_parts_join():
    flat = Searchable.of([np.full((1, 20, 20, 1), 9, np.float32)])
    gallery = joined([Searchable.of(()), Searchable.of(fields(2, (40, 40, 1), 7)), flat])
    assert len(gallery) == 3
    (match,) = find_matches(flat, gallery).matches
    assert (match.similarity, match.searched) == (0.0, 0.0)
    assert match == replace(match, index=0)


@pytest.mark.parametrize("unit", [1e16, 3e35])
def test_images_whose_squares_exceed_float32_are_matched_as_others(unit):
    images = fields(3, (40, 40, 1), 8)
    gallery = Searchable.of(images)
    large = Searchable.of([image * np.float32(unit) for image in images])
    found, expected = find_matches(large, gallery), find_matches(gallery, gallery)
    assert [match.index for match in found.matches] == [0, 1, 2]
    assert [match.similarity for match in found.matches] == pytest.approx([1, 1, 1], abs=1e-3)
    np.testing.assert_allclose(found.reached, expected.reached, atol=1e-3)
