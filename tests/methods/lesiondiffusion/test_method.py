"""LesionDiffusion from command to cohort, trained for three steps: the way of a lesion, not its looks."""

import json
import shutil
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

import micro
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.diffusion import Sampling
from medsmith.errors import FileError, RequestError, RunError, SynthesisError
from medsmith.formats.nifti import read_header
from medsmith.geometry import Geometry
from medsmith.insertion.edge import SOFT_EDGE_MM
from medsmith.insertion.frame import Frame
from medsmith.insertion.memory import estimate_memory, memory_needed
from medsmith.methods.config import apply_settings, validated
from medsmith.methods.lesiondiffusion import LesionDiffusion, generator
from medsmith.methods.lesiondiffusion.config import LesionDiffusionConfig
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.phantoms.families import find_family
from medsmith.phantoms.writing import write_phantom
from medsmith.preparation import merge
from medsmith.reports.schema import LesionReport
from medsmith.runs.checkpoints import load_method
from medsmith.synthesis import SynthesisOptions, regenerate, synthesize
from medsmith.synthesis.lesions_page import write_lesions_page
from medsmith.training import Budget, train
from narrowing import present
from synthesis_fakes import InProcessExecutor

pytestmark = pytest.mark.usefixtures("quick")
KIND = LesionDiffusion
SETTINGS = (
    *micro.micro_settings("lesiondiffusion", KIND, 3),
    "mask.frame.size=16",
    "paint.frame.size=16",
    "paint.frame.finest_mm=3",
)


def loaded(run):
    method = load_method(run)
    assert isinstance(method, LesionDiffusion)
    return method


@pytest.fixture(scope="module")
def quick():
    """One picture where a sheet of samples has eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medsmith.training.previews.COUNT", 1)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory, quick):  # noqa: ARG001
    """A run trained on four phantoms, and templates without lesions."""
    root = tmp_path_factory.mktemp("lesions")
    cohort = write_phantom(find_family("ct"), root / "ct", 4, seed=1, size=48)
    write_phantom(find_family("ct-healthy"), root / "healthy", 3, seed=2, size=48)
    train("lesiondiffusion", cohort, root / "run", settings=SETTINGS, budget=Budget(steps=3))
    return root


def organ_of(template):
    names = {value: name for name, value in template.label_names.items()}
    counts = np.bincount(template.labels.ravel(), minlength=256)
    liked = [value for value, name in names.items() if name in ("liver", "kidney_left", "kidney_right", "spleen")]
    return names[max(liked, key=lambda value: counts[value])]


def test_a_described_lesion_is_put_into_a_template_and_nothing_else_changes(place, tmp_path, capsys):
    templates = Cohort.open(place / "healthy")
    fitting = [id for id in templates.ids if np.isin(templates[id].require_labels(), [1, 2, 3, 4, 5]).sum() > 4000]
    template = templates[fitting[0]] if fitting else templates[templates.ids[0]]
    organ = organ_of(template)
    request = {"attempts": 1, "keep_missed": True}
    (tmp_path / "request.json").write_text(json.dumps(request))
    words = f"a 12 mm round-like hypodense lesion inside the {organ.replace('_', ' ')}, frightening"
    with pytest.raises(SystemExit) as ended:
        main(
            ["synthesize", str(place / "run"), str(tmp_path / "out"), "--count", "1", "--workers", "1",
             "--templates", str(place / "healthy"), "--template", template.id, "--report", words, "--lenient",
             "--request", str(tmp_path / "request.json")]
        )  # fmt: skip
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert "not placed: 'frightening'" in said.err
    made = Cohort.open(tmp_path / "out")
    case = made[made.ids[0]]
    (lesion,) = present(case.provenance)["lesions"]
    assert lesion["requested"]["organ"] == organ
    assert lesion["requested"]["size_mm"] == [12.0, 12.0, 12.0]
    assert {"requested", "measured", "passed", "verdicts", "visible", "attempts"} <= lesion.keys()
    assert present(case.provenance)["template"] == template.id
    assert present(case.report)["requested"] == [lesion["requested"]]
    inside = case.require_labels() == case.label_names["lesion"]
    assert inside.sum() == lesion["voxels"] > 0
    spacing = case.geometry.spacing
    far = distance_transform_edt(~inside, sampling=spacing) > SOFT_EDGE_MM / 2 + max(spacing)
    assert np.array_equal(case.require_image()[0][far], template.require_image()[0][far])
    assert np.array_equal(case.require_labels()[~inside], template.require_labels()[~inside])
    assert np.array_equal(case.geometry.affine, template.geometry.affine)
    assert dict(case.label_names) == dict(template.label_names)


def test_every_case_gets_a_report_of_its_own_and_the_first_again_after_the_last(place, tmp_path):
    reports = tmp_path / "reports.jsonl"
    sizes = [9.0, 12.0]
    said = [{}, {"remarks": ["set aside: 'tiny'"]}]
    lines = ({"lesions": [{"size_mm": [size] * 3}], **more} for size, more in zip(sizes, said, strict=True))
    reports.write_text("\n".join(map(json.dumps, lines)))
    request = {"templates": str(place / "healthy"), "attempts": 1, "mask_source": "ellipsoid", "keep_missed": True}
    request["reports"] = str(reports)
    options = SynthesisOptions(executor=InProcessExecutor)
    synthesize(place / "run", tmp_path / "out", count=3, seed=4, request=request, workers=1, options=options)
    made = Cohort.open(tmp_path / "out")
    requested = [present(made[id].provenance)["lesions"][0]["requested"]["size_mm"][0] for id in made.ids]
    assert requested == [9.0, 12.0, 9.0]
    remarks = [present(made[id].provenance).get("remarks") for id in made.ids]
    assert remarks == [None, ["set aside: 'tiny'"], None]
    moved = shutil.move(reports, tmp_path / "moved.jsonl")
    assert regenerate(tmp_path / "out", made.ids[1], inputs={"reports": moved}, options=options)
    assert not [path for path in tmp_path.glob("out/provenance/*.json") if str(tmp_path) in path.read_text()]


def test_a_lesion_that_misses_its_request_is_delivered_only_where_that_is_asked(place, tmp_path):
    ring = {"size_mm": [12, 12, 12], "density": "ring enhancement"}
    request = {"templates": str(place / "healthy"), "attempts": 1, "mask_source": "ellipsoid", "lesions": [ring]}
    options = SynthesisOptions(executor=InProcessExecutor)
    with pytest.raises(SynthesisError, match="0 cases made, 1 not made: lesions missed density in 4 attempts"):
        synthesize(place / "run", tmp_path / "out", count=1, request=request, workers=1, options=options)
    kept = request | {"keep_missed": True}
    synthesize(place / "run", tmp_path / "out", count=1, request=kept, workers=1, options=options)
    (case,) = Cohort.open(tmp_path / "out")
    record = present(case.provenance)
    assert record["request"]["keep_missed"]
    assert [lesion["passed"] for lesion in record["lesions"]] == [False]
    assert "lesions_as_requested" not in [check["check"] for check in record["checks"]]


@pytest.mark.slow
def test_a_case_is_made_again_byte_for_byte_and_the_type_is_drawn_from_what_is_there(place, tmp_path):
    request = {"templates": str(place / "healthy"), "attempts": 1, "mask_source": "ellipsoid"}
    request["keep_missed"] = True
    synthesize(place / "run", tmp_path / "out", count=2, seed=4, request=request, workers=1, options=SynthesisOptions())
    copied = shutil.copytree(place / "healthy", tmp_path / "copied")
    assert regenerate(tmp_path / "out", "lesiondiffusion_00001", run=place / "run", inputs={"templates": copied})
    assert not [path for path in tmp_path.glob("out/*/*.json") if str(place) in path.read_text()]
    for case in Cohort.open(tmp_path / "out"):
        (lesion,) = present(case.provenance)["lesions"]
        assert lesion["requested"]["lesion_type"]


@pytest.mark.parametrize("labeled", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_template_stored_the_other_way_round_is_edited_where_it_lies(place, tmp_path, labeled):
    """LPS as DICOM has it: the case keeps affine, dtype and axes, and changes only near its lesion."""
    healthy = Cohort.open(place / "healthy")
    case = healthy[healthy.ids[0]]
    affine = case.geometry.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = case.geometry.affine[:3, :3] @ [47, 47, 0] + case.geometry.affine[:3, 3]
    names = dict(case.label_names) if labeled else {"background": 0}
    turned = replace(
        case,
        image=np.ascontiguousarray(case.require_image()[:, ::-1, ::-1]),
        labels=np.ascontiguousarray(case.require_labels()[::-1, ::-1]) if labeled else None,
        geometry=replace(case.geometry, affine=affine),
        label_names=names,
        provenance=None,
        report=None,
    )
    stored = Cohort.create(tmp_path / "lps", channel_names=case.channel_names, label_names=names, file_ending=".nii.gz")
    stored.write(turned)
    stored.finish()
    request = {"templates": str(tmp_path / "lps"), "attempts": 1, "mask_source": "ellipsoid"}
    request["keep_missed"] = True
    request["lesions"] = [{"size_mm": [12, 12, 12]}]
    options = SynthesisOptions(executor=InProcessExecutor)
    synthesize(place / "run", tmp_path / "out", count=1, seed=4, request=request, workers=1, options=options)
    made = Cohort.open(tmp_path / "out")
    got, before = made.stored(made.ids[0]), stored.stored(case.id)
    np.testing.assert_array_equal(got.geometry.affine, before.geometry.affine)
    assert got.geometry.affine[0, 0] < 0
    assert got.stored == before.stored
    inside = got.require_labels() == got.label_names["synthetic_lesion" if labeled else "lesion"]
    assert inside.any()
    spacing = got.geometry.spacing
    far = distance_transform_edt(~inside, sampling=spacing) > SOFT_EDGE_MM / 2 + max(spacing)
    assert np.array_equal(got.require_image()[0][far], before.require_image()[0][far])
    assert present(write_lesions_page(tmp_path / "out", tmp_path / "lps")).is_file()


def test_labels_alone_teach_lmnet_beside_scans(place, tmp_path):
    """A cohort of both trains every stage; what has no image comes without one."""
    ct = Cohort.open(place / "ct")
    masks = Cohort.create(tmp_path / "masks", channel_names=(), label_names=ct.label_names, file_ending=".nii.gz")
    for id in ct.ids[:2]:
        masks.write(replace(ct[id], image=None, channel_names=(), provenance=None))
    masks.finish()
    method = load_method(place / "run")
    both = merge([place / "ct", tmp_path / "masks"], tmp_path / "both", report=lambda _: None)
    whole, bare = (method.prepare(both[f"{name}-{ct.ids[0]}"]) for name in ("ct", "masks"))
    assert whole.keys() - bare.keys() == {"image", "lesion", "region", "origin", "image_words"}
    assert all(torch.equal(whole[key], bare[key]) for key in bare)
    train("lesiondiffusion", both, tmp_path / "run", settings=SETTINGS, budget=Budget(steps=2))
    assert len(load_method(tmp_path / "run").memory["kept_images"]) == min(len(ct), 8)
    fingerprint = load_method(tmp_path / "run").fingerprint
    assert (fingerprint.images, fingerprint.labeled) == (len(ct), len(ct) + 2)


def test_memory_is_estimated_from_headers_alone(place, tmp_path):
    assert memory_needed(place / "healthy") == estimate_memory((48, 48, 48), np.dtype(np.int16))
    path = Cohort.open(place / "healthy").files(Cohort.open(place / "healthy").ids[0]).channels[0].path
    (tmp_path / "start.nii.gz").write_bytes(path.read_bytes()[:4000])
    assert read_header(tmp_path / "start.nii.gz").shape == (48, 48, 48)
    with pytest.raises(FileError, match=r"none.nii.gz: cannot be read"):
        read_header(tmp_path / "none.nii.gz")


def test_masks_alone_teach_lmnet_alone(place):
    method = load_method(place / "run")
    case = Cohort.open(place / "ct")[Cohort.open(place / "ct").ids[0]]
    whole, alone = method.prepare(case), method.prepare(replace(case, image=None))
    assert alone.keys() == {"mask", "organ", "other_organs", "box", "mask_words"}
    assert all(torch.equal(alone[key], whole[key]) for key in alone)
    assert whole.keys() - alone.keys() == {"image", "lesion", "region", "origin", "image_words"}
    inputs = {stage.name: stage.inputs for stage in method.stages()}
    assert inputs == {"mask": {"labels"}, "paint": {"image", "labels"}}


def test_networks_that_learn_apart_are_trained_in_any_order_to_the_same_weights(place, tmp_path):
    cohort = Cohort.open(place / "ct")
    train("lesiondiffusion", cohort, tmp_path / "run", settings=SETTINGS, budget=Budget(steps=3, stage="paint"))
    with pytest.raises(RunError, match="no finished weights"):
        load_method(tmp_path / "run")
    train("lesiondiffusion", cohort, tmp_path / "run", settings=SETTINGS, budget=Budget(steps=3, stage="mask"))
    apart, together = (load_method(run).state_dict() for run in (tmp_path / "run", place / "run"))
    assert all(torch.equal(apart[key], together[key]) for key in together)


def test_paint_in_the_latent_needs_the_autoencoder(place, tmp_path):
    settings = (
        *SETTINGS,
        "paint.space=latent",
        "vqgan.channels=8",
        "discriminator.channels=4",
        "discriminator.layers=1",
    )
    with pytest.raises(RunError, match="stage 'autoencoder' is not trained; train it first: --stage autoencoder"):
        train(
            "lesiondiffusion", Cohort.open(place / "ct"), tmp_path / "run", settings=settings,
            budget=Budget(steps=1, stage="paint"),
        )  # fmt: skip


@pytest.mark.slow
def test_a_homogeneous_lesion_is_painted_evener_by_the_shipped_weights():
    method = loaded("lesiondiffusion")
    edge = method.config.paint.frame.size
    sample = method._generator(method.Request(), method.config.sampling, None).sample_intensities
    frame = Frame(Geometry((edge,) * 3, np.eye(4)), ((edge - 1) / 2,) * 3, edge, 1.0)
    image = np.full((edge,) * 3, 100.0, np.float32)
    middle = np.indices(image.shape) - (edge - 1) / 2
    share = (np.linalg.norm(middle, axis=0) < 10).astype(np.float32)
    core = np.linalg.norm(middle, axis=0) < 7
    spreads = {}
    for word in ("homogeneous", "heterogeneous"):
        report = LesionReport(organ="liver", density="hypodense", density_variation=word, size_mm=(20.0, 20.0, 20.0))
        spreads[word] = float(sample(image, share, frame, report, 100.0, 1)[core].std())
    assert spreads["homogeneous"] < 0.7 * spreads["heterogeneous"], spreads


def test_the_latent_way_has_a_stage_more_and_paints_a_cube_in_one_tile(place, monkeypatch):
    settings = (
        *SETTINGS, "paint.space=latent", "vqgan.channels=8", "vqgan.codes=16", "discriminator.channels=4",
        "discriminator.layers=1",
        "autoencoding.discriminator_from=0",
    )  # fmt: skip
    run = place / "latent"
    train("lesiondiffusion", Cohort.open(place / "ct"), run, settings=settings, budget=Budget(steps=2))
    method = loaded(run)
    assert [stage.name for stage in method.stages()] == ["mask", "autoencoder", "paint"]
    edges = []

    def noting(made):
        def noted(space, source, tile):
            edges.append(tile * space.factor)
            return made(space, source, tile)

        return noted

    for name in ("encode_in_tiles", "decode_in_tiles"):
        monkeypatch.setattr(generator, name, noting(getattr(generator, name)))
    case = method.synthesize(method.Request(attempts=1), 1, Sampling(solver="ddim", steps=2))
    assert np.isfinite(case.require_image()).all()
    assert edges == [method.config.paint.frame.size] * len(edges) != []
    assert method.config.vqgan.shape.factor > 1


@pytest.mark.parametrize("precision", ["float32", "measured"])
def test_words_that_nobody_encoded_are_one_line_and_no_run(place, tmp_path, monkeypatch, precision):
    monkeypatch.chdir(tmp_path)
    words = ("mask.words.table=biomedclip", "mask.words.dimension=512", f"training.precision={precision}")
    with pytest.raises(FileError, match=r"^biomedclip.safetensors: does not exist, .*build_phrase_table.py"):
        train("lesiondiffusion", Cohort.open(place / "ct"), tmp_path / "run", settings=(*SETTINGS, *words))
    assert not (tmp_path / "run" / "run.json").exists()


def test_presets_are_of_the_papers_shape():
    paper, released = (cast(LesionDiffusionConfig, KIND.presets[name]) for name in ("paper", "released"))
    assert (paper.mask.frame.size, paper.mask.frame.finest_mm, paper.mask.frame.coarsest_mm) == (128, 1.0, 1.0)
    assert (paper.vqgan.channels, paper.vqgan.codes, paper.vqgan.latent) == (96, 2048, 4)
    assert (paper.sampling.solver, paper.sampling.steps, paper.mask.guidance) == ("ddim", 200, 2.5)
    assert (released.sampling.stochasticity, released.paint.mask_head, released.mask.words.null) == (1.0, 1.0, 0.0)
    assert released.mask.diffusion.schedule == "scaled_linear"
    assert {preset.mask.words.table for preset in (paper, released)} == {"biomedclip"}
    assert (paper.mask.words.vectors, paper.mask.words.reach) == ("raw", "cross-attention")


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({"templates": {"case": "x"}}, "templates: case 'x' of no cohort"),
        ({"lesion_type": "kidney cyst", "lesions": [{"organ": "liver"}]}, "lesions and lesion_type: give one of them"),
        ({"lesion_type": "kidny cyst"}, "lesion type 'kidny cyst': no such type; there are kidney cyst, "),
        ({"lesions": [{"shape": ["square"]}]}, "lesions.0.shape.0"),
        ({"lesions": [{}] * 4}, "lesions"),
        ({"attempts": 0}, "attempts = 0"),
        ({"mask_source": "sphere"}, "mask_source"),
    ],
)
def test_a_request_that_cannot_be_is_refused_by_its_key(request_, line):
    with pytest.raises(RequestError) as refusal:
        validated(LesionDiffusionRequest, "request", request_)
    assert line in refusal.value.line


def test_what_is_not_there_is_refused_by_name(place):
    method = load_method(place / "run")

    def ask(**said):
        return method.synthesize(LesionDiffusionRequest(**said), 1, Sampling(solver="ddim", steps=1))

    with pytest.raises(RequestError, match="no case 'nobody'"):
        method.output_fingerprint(LesionDiffusionRequest(templates=CaseRef(cohort=place / "healthy", case="nobody")))
    lesion = LesionReport(organ="prostate", size_mm=(10.0, 10.0, 10.0))
    with pytest.raises(RequestError, match="no prostate in the organ map"):
        ask(templates=place / "healthy", lesions=(lesion,))
    report = LesionReport(organ="liver", lesion_type="kidney cyst")
    with pytest.raises(RequestError, match=r"^[^;]*'liver' has no kidney cyst; allowed: kidney"):
        ask(templates=place / "healthy", lesions=(report,))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"organ": "liver"}, "none for a lesion in the liver; without them a scan is a cube of the training cohort"),
        ({"organ": "soft_tissue", "size_mm": [40.0] * 3}, "none for a lesion of 40 mm; without them a scan is a cube"),
        (
            {"cavity": "protruding from the parenchymal organ"},
            "none for a lesion protruding from the parenchymal organ",
        ),
    ],
)
def test_what_a_cube_of_the_bank_cannot_hold_is_refused_without_templates(place, tmp_path, said, line):
    """It was cut to what the cube holds, and the cut size stood in the record as requested."""
    method = load_method(place / "run")
    with pytest.raises(RequestError, match=f"templates: {line}.*name the cohort of the scans: --templates"):
        method.output_fingerprint(method.Request(lesions=[said]))
    (tmp_path / "reports.json").write_text(json.dumps([{"lesions": [said]}]))
    with pytest.raises(RequestError, match=line):
        method.output_fingerprint(method.Request(reports=tmp_path / "reports.json"))
    method.output_fingerprint(method.Request(lesions=[{"organ": "soft_tissue", "size_mm": [4.0] * 3}]))


def test_a_type_is_refused_without_templates(place):
    method = load_method(place / "run")
    with pytest.raises(RequestError, match="templates: none for a lesion in the kidney"):
        method.output_fingerprint(method.Request(lesion_type="kidney cyst"))


def test_real_and_synthetic_lesions_have_labels_of_their_own(place, tmp_path):
    ct = Cohort.open(place / "ct")
    id = next(id for id in ct.ids if (ct[id].require_labels() == ct.label_names["lesion"]).any())
    real = Cohort.create(
        tmp_path / "real", channel_names=ct.channel_names, label_names=ct.label_names, file_ending=".nii.gz"
    )
    real.write(replace(ct[id], provenance=None, report=None))
    real.finish()
    method = loaded(place / "run")
    lesions = (LesionReport(size_mm=(12.0, 12.0, 12.0)),)

    def made(cohort, label_as=None):
        templates = CaseRef(cohort=cohort, case=id)
        request = LesionDiffusionRequest(
            templates=templates, lesions=lesions, attempts=1, mask_source="ellipsoid", label_as=label_as
        )
        case = method.synthesize(request, 1, Sampling(solver="ddim", steps=1))
        assert dict(case.label_names) == dict(method.output_fingerprint(request).label_names)
        return case

    before = real[id].require_labels()
    apart = made(tmp_path / "real")
    painted = apart.require_labels() == apart.label_names["synthetic_lesion"]
    assert painted.any()
    assert np.array_equal(apart.require_labels()[~painted], before[~painted])
    assert not (before[painted] == real.label_names["lesion"]).any()
    for asked, cohort in (("lesion", tmp_path / "real"), (None, place / "ct")):
        joined = made(cohort, asked)
        assert dict(joined.label_names) == dict(ct.label_names)
        assert np.array_equal(
            joined.require_labels() == ct.label_names["lesion"], painted | (before == ct.label_names["lesion"])
        )
    named = made(tmp_path / "real", "painted")
    assert np.array_equal(named.require_labels() == named.label_names["painted"], painted)
    with pytest.raises(RequestError, match="'liver' is no lesion"):
        made(tmp_path / "real", "liver")


def test_settings_that_cannot_work_together_are_refused():
    tiny = KIND.presets["tiny"]
    with pytest.raises(RequestError, match="is no multiple of 2, by which the VQGAN shrinks it"):
        apply_settings(tiny, ["paint.space=latent", "paint.frame.size=33"])
    with pytest.raises(RequestError, match="size = 34 is no multiple of 4"):
        apply_settings(tiny, ["paint.space=latent", "paint.frame.size=34", "vqgan.channels=[8,8,8]"])
    with pytest.raises(RequestError, match=r"--set: .*size = 8 is below the 12 voxels that a discriminator needs"):
        apply_settings(tiny, ["paint.space=latent", "paint.frame.size=8"])
    with pytest.raises(RequestError, match=r"coarsest_mm 0.1 is below finest_mm 0.5"):
        apply_settings(tiny, ["mask.frame.coarsest_mm=0.1"])
