import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medsmith.data.resizing import resize
from medsmith.data.similarity import NEAR_DUPLICATE, copy_threshold, find_scenes, nearest, similarities, thumbnails


def fields(count, shape, seed):
    """Smooth random images: no two alike, all of one law."""
    rng = np.random.default_rng(seed)
    sigma = [0.03 * edge if edge > 1 else 0 for edge in shape]
    images = [gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap") for _ in range(count)]
    return [(100 + 40 * image / image.std()).astype(np.float32)[None] for image in images]


def moved(image, shift):
    return np.roll(image, shift, axis=range(1, 1 + len(shift)))


def by_definition(query, gallery, shift):
    """Every move spelt out with numpy's own correlation coefficient, 2-D."""
    best = -1.0
    size = gallery.shape[0]
    core = gallery[shift : size - shift, shift : size - shift].ravel()
    for turned in (query, query.T):
        for view in (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1]):
            for x in range(2 * shift + 1):
                for y in range(2 * shift + 1):
                    window = view[x : x + size - 2 * shift, y : y + size - 2 * shift]
                    best = max(best, float(np.corrcoef(window.ravel(), core)[0, 1]))
    return best


def test_equals_the_definition():
    rng = np.random.default_rng(0)
    queries, gallery = (rng.random((n, 16, 16, 1), dtype=np.float32) for n in (3, 4))
    expected = [[by_definition(q[..., 0], g[..., 0], 2) for g in gallery] for q in queries]
    np.testing.assert_allclose(similarities(queries, gallery), expected, atol=1e-5)


COPIES_2D = {
    "exact": lambda image, _: image,
    "noise": lambda image, rng: image + rng.normal(0, 8, image.shape).astype(np.float32),
    "shift": lambda image, _: moved(image, (3, -3)),
    "large shift": lambda image, _: moved(image, (-7, 5)),
    "flip": lambda image, _: image[:, ::-1],
    "quarter turn": lambda image, _: np.rot90(image, axes=(1, 2)),
    "intensity scale": lambda image, _: 0.4 * image + 30,
    "crop": lambda image, _: image[:, 4:-4, 4:-4],
    "all at once": lambda image, rng: (
        0.7 * moved(image, (2, 2))[:, :, ::-1] + rng.normal(0, 4, image.shape).astype(np.float32)
    ),
}


@pytest.mark.parametrize("name", COPIES_2D)
def test_planted_copies_are_found(name):
    rng = np.random.default_rng(3)
    training = fields(20, (64, 64, 1), 1)
    gallery = thumbnails(training)
    copies = [np.ascontiguousarray(COPIES_2D[name](image, rng), np.float32) for image in training]
    score, index = nearest(thumbnails(copies), gallery)
    np.testing.assert_array_equal(index, np.arange(20))
    assert (score > copy_threshold(gallery)).all()


@pytest.mark.parametrize("shape", [(64, 64, 1), (16, 16, 16)])
def test_new_images_of_the_same_law_raise_few_alarms(shape):
    gallery = thumbnails(fields(30, shape, 1))
    alarms = nearest(thumbnails(fields(40, shape, 4)), gallery)[0] > copy_threshold(gallery)
    assert alarms.mean() <= 0.05


@pytest.mark.parametrize("flip", [(), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)])
def test_planted_copies_of_volumes_are_found(flip):
    training = fields(6, (24, 24, 16), 5)
    gallery = thumbnails(training)
    copies = [np.ascontiguousarray(np.flip(moved(0.5 * image, (2, -1, 1)), flip)) for image in training]
    score, index = nearest(thumbnails(copies), gallery)
    np.testing.assert_array_equal(index, np.arange(6))
    assert (score > copy_threshold(gallery)).all()


def test_twins_do_not_blind_the_threshold():
    images = fields(30, (64, 64, 1), 7)
    gallery = thumbnails(images)
    with_twins = thumbnails([*images, *(moved(image, (2, 2)) for image in images[:12])])
    assert np.quantile(np.sort(similarities(with_twins, with_twins), axis=1)[:, -2], 0.99) > 0.95
    assert copy_threshold(with_twins) == pytest.approx(copy_threshold(gallery), abs=0.05)


def test_twins_share_a_group():
    images = fields(10, (64, 64, 1), 8)
    order = [*images, *(image[:, ::-1].copy() for image in images[:4])]
    groups = find_scenes(thumbnails(order)).groups
    assert len(set(groups)) == 10
    np.testing.assert_array_equal(groups[10:], groups[:4])


def test_images_that_all_look_alike_are_not_all_copies():
    """As slices of one kind of phantom: every nearest similarity is above the fixed limit, and new ones are too."""
    shared, own = fields(1, (64, 64, 1), 9)[0], fields(60, (64, 64, 1), 10)
    images = [shared + 0.28 * each for each in own]
    found = find_scenes(thumbnails(images[:40]))
    assert found.threshold > NEAR_DUPLICATE
    assert len(set(found.groups)) == 40
    unseen, _ = nearest(thumbnails(images[40:]), thumbnails(images[:40]))
    assert unseen.min() > NEAR_DUPLICATE
    assert (unseen > found.threshold).mean() < 0.2
    copies, _ = nearest(thumbnails([image + 1 for image in images[:5]]), thumbnails(images[:40]))
    assert (copies > found.threshold).all()


def test_a_set_of_duplicates_keeps_the_fixed_limit():
    image = fields(1, (64, 64, 1), 11)[0]
    series = [image + 0.01 * each for each in fields(12, (64, 64, 1), 12)]
    assert find_scenes(thumbnails(series)).threshold <= NEAR_DUPLICATE


def test_too_few_images_leave_the_fixed_limit():
    assert copy_threshold(thumbnails(fields(1, (32, 32, 1), 0))) == NEAR_DUPLICATE
    assert copy_threshold(thumbnails([])) == NEAR_DUPLICATE


def test_a_flat_image_resembles_nothing():
    flat = thumbnails([np.full((1, 40, 40, 1), 77, np.float32)])
    gallery = thumbnails(fields(3, (40, 40, 1), 8))
    assert similarities(flat, gallery).max() == 0
    assert similarities(gallery, flat).max() == 0


def test_the_size_of_an_image_does_not_matter():
    large = fields(1, (128, 128, 1), 9)[0]
    score, _ = nearest(thumbnails([resize(large, (48, 48, 1))]), thumbnails([large]))
    assert score[0] > 0.99
