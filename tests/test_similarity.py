import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medsmith.data.similarity import nearest, nearest_other, similarities, thumbnails


def fields(count, shape, seed):
    """Smooth random images: no two alike, all of one law."""
    rng = np.random.default_rng(seed)
    sigma = [0.08 * edge if edge > 1 else 0 for edge in shape]
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
    training = fields(40, (96, 96, 1), 1)
    gallery = thumbnails(training)
    threshold = np.quantile(nearest(thumbnails(fields(100, (96, 96, 1), 2)), gallery)[0], 0.99)
    copies = [np.ascontiguousarray(COPIES_2D[name](image, rng), np.float32) for image in training]
    score, index = nearest(thumbnails(copies), gallery)
    np.testing.assert_array_equal(index, np.arange(40))
    assert (score > threshold).all()


def test_images_of_the_same_law_raise_no_alarm():
    gallery = thumbnails(fields(40, (64, 64, 1), 1))
    threshold = np.quantile(nearest_other(gallery)[0], 0.99)
    alarms = nearest(thumbnails(fields(100, (64, 64, 1), 4)), gallery)[0] > threshold
    assert alarms.mean() <= 0.05


@pytest.mark.parametrize("flip", [(), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)])
def test_planted_copies_of_volumes_are_found(flip):
    training = fields(12, (32, 32, 24), 5)
    gallery = thumbnails(training)
    threshold = np.quantile(nearest(thumbnails(fields(30, (32, 32, 24), 6)), gallery)[0], 0.99)
    copies = [np.ascontiguousarray(np.flip(moved(0.5 * image, (2, -1, 1)), flip)) for image in training]
    score, index = nearest(thumbnails(copies), gallery)
    np.testing.assert_array_equal(index, np.arange(12))
    assert (score > threshold).all()


def test_leaving_one_out_never_answers_with_the_image_itself():
    gallery = thumbnails(fields(6, (32, 32, 1), 7))
    twins = np.concatenate([gallery, gallery])
    score, index = nearest_other(twins)
    np.testing.assert_array_equal(index, (np.arange(12) + 6) % 12)
    np.testing.assert_allclose(score, 1, atol=1e-5)


def test_a_flat_image_resembles_nothing():
    flat = thumbnails([np.full((1, 40, 40, 1), 77, np.float32)])
    gallery = thumbnails(fields(3, (40, 40, 1), 8))
    assert similarities(flat, gallery).max() == 0
    assert similarities(gallery, flat).max() == 0


def test_the_size_of_an_image_does_not_matter():
    large = fields(1, (128, 128, 1), 9)[0]
    small = thumbnails([large], edge=64)
    score, _ = nearest(thumbnails([small]), thumbnails([large]))
    assert score[0] > 0.999
