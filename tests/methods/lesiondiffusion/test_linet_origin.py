"""The density that is 0 in the images that LINet sees."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsmith.data.hounsfield_scale import hu_to_model
from medsmith.diffusion import Sampling
from medsmith.geometry import Geometry
from medsmith.insertion.frame import Frame
from medsmith.methods.lesiondiffusion.config import LesionDiffusionConfig, PaintConfig
from medsmith.methods.lesiondiffusion.generator import LINetSampler
from medsmith.methods.lesiondiffusion.linet import LINet
from medsmith.methods.lesiondiffusion.linet_origin import about_origin, from_origin, origin_hu, report_about
from medsmith.methods.lesiondiffusion.template_bank import template_bank_of
from medsmith.methods.lesiondiffusion.training_example import training_example
from medsmith.networks.latent import VoxelSpace
from medsmith.phantoms.families import find_family
from medsmith.reports.schema import LesionReport
from medsmith.text.embeddings import PhraseTable
from medsmith.text.encoded_vocabulary import load_vocabulary

ORGAN, WATER = PaintConfig(origin="organ"), PaintConfig()


@pytest.mark.parametrize(("level", "origin"), [(None, 0), (-850, 0), (0, 0), (57, 57), (200, 200), (430, 200)])
def test_the_origin_is_the_organ_within_soft_tissue_or_water(level, origin):
    assert origin_hu(level, ORGAN) == origin
    assert origin_hu(level, WATER) == 0
    assert origin_hu(level, ORGAN.model_copy(update={"space": "latent"})) == 0


@given(st.floats(0, 200), st.floats(-1000, 1000))
def test_from_the_origin_is_the_inverse(origin, hu):
    image = np.full((2, 2, 2), hu, np.float32)
    assert np.allclose(from_origin(about_origin(image, origin), origin), image, atol=0.01)
    assert about_origin(np.full((1, 1, 1), origin, np.float32), origin) == 0


def test_about_water_nothing_changes():
    image = np.linspace(-1000, 1000, 27, dtype=np.float32).reshape(3, 3, 3)
    assert np.array_equal(about_origin(image, 0.0), hu_to_model(image))


def test_a_ct_value_is_counted_from_the_origin():
    assert report_about(LesionReport(ct_value_hu=30.0), 57.0).ct_value_hu == -27.0
    assert report_about(LesionReport(), 57.0) == LesionReport()


def test_the_template_bank_holds_scans_as_they_are():
    case = find_family("ct-varied").make(3, "one", 48)
    tables = (PhraseTable.load(),) * 2
    banks = [
        template_bank_of([training_example(case, LesionDiffusionConfig(paint=paint), tables)])
        for paint in (ORGAN, WATER)
    ]
    assert torch.allclose(banks[0]["kept_images"].float(), banks[1]["kept_images"].float(), atol=2e-3)
    assert torch.equal(banks[0]["kept_lesions"], banks[1]["kept_lesions"])


def brighter(case, hu):
    """A scan all of whose soft tissue is denser, and the CT value of its lesion as well."""
    image = case.require_image()
    (lesion,) = case.report["lesions"]
    said = {**lesion, "ct_value_hu": lesion["ct_value_hu"] + hu}
    return replace(case, image=image + np.float32(hu), report={**case.report, "lesions": [said]})


def test_an_example_of_training_does_not_know_how_dense_the_organ_is():
    made = find_family("ct-varied").make(3, "one", 48)
    inside = replace(made, image=made.require_image().clip(-150, 150))  # where model space is linear after the shift
    tables = (PhraseTable.load(),) * 2
    for paint, equal in ((ORGAN, True), (WATER, False)):
        config = LesionDiffusionConfig(paint=paint)
        one, other = (training_example(each, config, tables) for each in (inside, brighter(inside, 20.0)))
        assert bool(torch.allclose(one["image"], other["image"], atol=2e-3)) == equal
        assert bool(torch.allclose(one["image_words"], other["image_words"], atol=1e-5)) == equal


@pytest.mark.parametrize("hu", [25.0, 90.0])
def test_a_lesion_is_as_much_denser_than_its_organ_in_every_organ(hu):
    config = ORGAN
    torch.manual_seed(0)
    words = load_vocabulary(config.words, "image", {})
    net = LINet(config, 1, words.null.shape[1])
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    sample = LINetSampler(net, VoxelSpace(config.amplitude), words, 1.0, Sampling(solver="dpm++2m", steps=2))
    edge = 8
    frame = Frame(Geometry((edge,) * 3, np.eye(4)), ((edge - 1) / 2,) * 3, edge, 1.0)
    share = np.zeros((edge,) * 3, np.float32)
    share[3:6, 3:6, 3:6] = 1
    at_zero, there = (
        sample(np.full(share.shape, level, np.float32), share, frame, LesionReport(density="isodense"), level, 1)
        for level in (0.0, hu)
    )
    seen = np.abs(at_zero) < 100  # where model space is linear in both
    assert np.std(at_zero[seen & (share > 0)]) > 1
    assert np.allclose(there[seen] - hu, at_zero[seen], atol=0.05)
