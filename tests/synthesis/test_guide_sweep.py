"""The sweep of one guide, the page of guides, and what they measure."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.data.scaling import gray_to_model
from medsmith.diffusion import LowPassGuide
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.geometry import Geometry
from medsmith.methods.mddpm.adherence import context_agreement, lesion_contrast, low_frequency_error
from medsmith.synthesis import SweepGrid, SynthesisOptions, synthesize, write_steering_page
from medsmith.synthesis import sweep as sweep_guide
from medsmith.synthesis.guide_sweep import _name, _share, _stop
from narrowing import present
from steered_runs import EDGE, UNTRAINED, steered_files
from synthesis_fakes import InProcessExecutor


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return steered_files(tmp_path_factory.mktemp("sweep"))


def request_of(files):
    return {"anatomy": {"space": str(files / "space.safetensors")}, "guides": [{"image": str(files / "labeled")}]}


def test_a_sweep_has_a_case_per_cell_its_measures_and_a_picture(files, tmp_path):
    grid = SweepGrid("anatomy", (0.25, 0.0625), (0.0, 0.5))
    picture = sweep_guide(files / "run", tmp_path / "out", grid, request=request_of(files), seed=1, steps=3)
    found = json.loads((tmp_path / "out" / "measures.json").read_text())
    assert set(found) == {f"factor-{n}-until-{a}" for n in ("0_25", "0_0625") for a in ("0", "0_5")}
    fine = found["factor-0_0625-until-0"]
    assert fine == present(Cohort.open(tmp_path / "out")["factor-0_0625-until-0"].provenance)["adherence"]
    assert fine["error anatomy"] < found["factor-0_0625-until-0_5"]["error anatomy"]
    assert 0 <= fine["Dice body"] <= 1
    first = picture.read_bytes()
    with Image.open(picture) as opened:
        assert opened.size[0] > 300
    names = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("factor-*")}
    assert sweep_guide(files / "run", tmp_path / "out", grid, request=request_of(files), seed=1, steps=3) == picture
    assert picture.read_bytes() == first
    assert names == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("factor-*")}
    with pytest.raises(CohortError, match="holds another sweep; one folder has one sweep; choose a new folder"):
        sweep_guide(files / "run", tmp_path / "out", grid, request=request_of(files), seed=2, steps=3)


def test_a_refused_sweep_leaves_its_folder_to_the_corrected_one(files, tmp_path):
    lesion = {"case": str(files / "lesions"), "at": [0.0, 0.0]}
    grid = SweepGrid(factors=(0.5,), untils=(0.0,))
    with pytest.raises(RequestError, match="reaches beyond the image"):
        sweep_guide(files / "run", tmp_path / "out", grid, request={"pathologies": [lesion]}, steps=2)
    assert not (tmp_path / "out").exists()
    late = SweepGrid(factors=(0.5,), untils=(0.0, 0.96))
    inside = {"pathologies": [{**lesion, "at": [0.5, 0.5]}]}
    with pytest.raises(RequestError, match="acts at no step"):
        sweep_guide(files / "run", tmp_path / "out", late, request=inside, steps=2)
    assert not (tmp_path / "out").exists()
    assert sweep_guide(files / "run", tmp_path / "out", grid, request=inside, steps=2).exists()


@pytest.mark.parametrize("damaged", ["image", "provenance"])
def test_a_cell_that_changed_is_not_drawn(files, tmp_path, damaged):
    grid, lesion = SweepGrid(factors=(0.5,), untils=(0.0,)), {"case": str(files / "lesions"), "at": [0.5, 0.5]}
    asked = {"pathologies": [lesion]}
    sweep_guide(files / "run", tmp_path / "out", grid, request=asked, steps=2)
    (name,) = Cohort.open(tmp_path / "out").ids
    if damaged == "image":
        path = tmp_path / "out" / "imagesTr" / f"{name}_0000.png"
        Image.fromarray(np.zeros((EDGE, EDGE), np.uint8)).save(path)
    else:
        path = tmp_path / "out" / "provenance" / f"{name}.json"
        path.unlink()
    with pytest.raises(RunError, match=f"{path.name}: is .*damaged.*; remove .*out; the same command makes it again"):
        sweep_guide(files / "run", tmp_path / "out", grid, request=asked, steps=2)


def test_other_runs_guides_and_axes_are_refused_by_name(files, tmp_path):
    for grid, request, line in [
        (
            SweepGrid("pathologies.0"),
            request_of(files),
            "--guide: 'pathologies.0'; the request has anatomy, guides.0; name",
        ),
        (SweepGrid(), {}, "sweep: the request has no guide; name one: --anatomy, --texture or --pathology"),
        (SweepGrid(factors=()), request_of(files), "--factors: nothing; different values from 0.0001 to 1"),
        (SweepGrid(untils=(0.1, 0.1)), request_of(files), "--untils: 0.1, 0.1; different values from 0 to 0.999"),
    ]:
        with pytest.raises(RequestError) as refusal:
            sweep_guide(files / "run", tmp_path / "out", grid, request=request)
        assert refusal.value.line.startswith(line)
    with pytest.raises(RequestError, match="pig: a run of pig on 2-D images; a sweep needs mddpm on slices"):
        sweep_guide("pig", tmp_path / "out", SweepGrid(), request={})
    assert not (tmp_path / "out").exists()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True), st.floats(0, 1))
def test_distinct_numbers_name_distinct_cells(pair, other):
    assert _name((pair[0], other)) != _name((pair[1], other))
    assert _name((other, pair[0])) != _name((other, pair[1]))
    assert re.fullmatch("[A-Za-z0-9_.-]+", _name((pair[0], other)))


def test_numbers_that_print_alike_have_their_own_names():
    assert _name((0.0, 0.1)) == _name((-0.0, 0.1)) == "factor-0_1-until-0"
    assert _name((0.5, 0.1000001)) == "factor-0_1000001-until-0_5"
    assert _name((0, 1)) == "factor-1-until-0"
    SweepGrid(factors=(0.1, 0.1000001)).check()
    with pytest.raises(RequestError, match=r"--factors: 0.1000001, 0.1000001; different values from"):
        SweepGrid(factors=(0.1000001, 0.10000010)).check()


def test_an_odd_request_of_a_sweep_is_named(files, tmp_path):
    odd: list[tuple[dict[str, object], str]] = [
        ({"guides": 3}, "request: guides = 3; must be a list"),
        ({"anatomy": "space"}, 'request: anatomy = "space"; must be an object'),
        ({"pathologies": ["a"]}, 'request: pathologies.0 = "a"; must be an object'),
    ]
    for request, line in odd:
        with pytest.raises(RequestError) as refusal:
            sweep_guide(files / "run", tmp_path / "out", SweepGrid(), request=request)
        assert refusal.value.line == line


def test_outputs_in_what_is_read_are_refused(files):
    options = SynthesisOptions(executor=InProcessExecutor)
    before = {path for path in files.rglob("*") if path.suffix != ".pyc"}
    for folder in ("run", "labeled"):
        out = files / folder / "new"
        with pytest.raises(CohortError) as refusal:
            sweep_guide(files / "run", out, SweepGrid(), request=request_of(files), steps=3)
        assert refusal.value.line.startswith(f"{out}: lies in or on {files / folder}; nothing is written into what is")
        with pytest.raises(CohortError, match=f"lies in or on {files / folder}; nothing is written into what is read"):
            synthesize(files / "run", out, count=1, request=request_of(files), steps=3, workers=1, options=options)
    assert {path for path in files.rglob("*") if path.suffix != ".pyc"} == before


def test_the_page_shows_every_guide_beside_its_image(files, tmp_path):
    options = SynthesisOptions(executor=InProcessExecutor, limits=UNTRAINED)
    synthesize(files / "run", tmp_path / "out", count=2, request=request_of(files), steps=3, workers=1, options=options)
    page = write_steering_page(tmp_path / "out")
    assert page is not None
    text = page.read_text()
    assert text.count("data:image/png") == 2
    assert len(re.findall(r"error of texture 1: .*; error of anatomy: .*; Dice: body ", text)) == 2
    assert "guides.0" not in text
    assert "gray values" in text
    assert " HU" not in text
    assert len(re.findall(r'background: #e69f00"></i>heart<', text)) == 2
    assert "not for diagnosis" in text
    plain = synthesize(files / "run", tmp_path / "plain", count=1, steps=3, workers=1, options=options)
    assert plain.count == 1
    assert write_steering_page(tmp_path / "plain") is None


def slice_of(gray):
    image = np.asarray(gray, np.float32)[None, :, :, None]
    return Case(
        "case_0", image, None, Geometry.plain(image.shape[1:]), ("gray",), {"background": 0}, np.dtype(np.uint8)
    )


def test_the_error_is_that_of_the_low_frequencies_alone(files):
    from medsmith.runs.checkpoints import load_method

    facts = load_method(files / "run").fingerprint
    gray = np.full((EDGE, EDGE), 100.0)
    reference = gray_to_model((gray + 25.5)[None].astype(np.float32), facts)[None]
    checker = np.indices((EDGE, EDGE)).sum(0) % 2 * 40 - 20
    assert low_frequency_error(slice_of(gray + checker), LowPassGuide(reference, 8), facts) == pytest.approx(
        0.1, abs=1e-3
    )
    region = torch.zeros(1, 1, EDGE, EDGE)
    region[..., :8, :] = 1
    shifted = gray.copy()
    shifted[:8] += 25.5
    local = low_frequency_error(slice_of(shifted), LowPassGuide(reference, 1, region=region), facts)
    assert local == pytest.approx(0, abs=1e-6)


def test_agreement_is_the_dice_of_thresholds_with_the_map():
    x, y = np.indices((128, 128)) + 0.5
    body = np.hypot(x - 64, y - 64) < 50
    lung = np.hypot(x - 44, y - 64) < 14
    image = np.where(lung, 20.0, np.where(body, 150.0, 0.0))
    regions = {"body": body & ~lung, "lung": lung}
    found = context_agreement(slice_of(image), regions)
    assert found["body"] > 0.98
    assert found["lung"] > 0.95
    moved = context_agreement(slice_of(image), {"body": body, "lung": np.roll(lung, 14, 0)})
    assert 0.2 < moved["lung"] < 0.6
    assert context_agreement(slice_of(image), {}) == {}


def test_contrast_is_inside_less_ring():
    lesion = np.zeros((64, 64), bool)
    lesion[20:30, 20:30] = True
    image = np.where(lesion, 180.0, 60.0).astype(np.float32)
    image[50:] = 255  # far away
    assert lesion_contrast(image, lesion) == pytest.approx(120)


def test_the_ring_is_what_surrounds_a_lesion_not_what_lies_beside_it():
    """A nodule of the lung beside the heart: vessels and heart do not count as its surroundings."""
    lesion, lung = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    lesion[20:26, 20:26], lung[:, :28] = True, True
    image = np.where(lesion, -600.0, np.where(lung, -800.0, 40.0)).astype(np.float32)
    image[18, :28] = 0  # a vessel
    assert lesion_contrast(image, lesion, lung) == pytest.approx(200)
    assert lesion_contrast(image, lesion) == pytest.approx(200)
    assert np.isnan(lesion_contrast(image, lesion, np.zeros_like(lung)))


def test_axes_say_what_is_varied():
    """The paper's n and a are whole pixels and steps; a share is a relative factor, and of the schedule."""
    assert _share(0.25, 16) == "relative factor 1/4 (16 px)"
    assert _share(1 / 32, 16) == "relative factor 1/32 (16 px)"
    assert _share(1.0, 64) == "relative factor 1 (64 px)"
    assert _share(0.1234567, 8) == "relative factor 0.1234567 (8 px)"
    assert _stop(0.2) == "stops at 20 % of the schedule"
    assert _stop(0) == "stops at 0 % of the schedule"
