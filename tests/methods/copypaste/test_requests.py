"""Copy-paste: templates and labels that are named, and what cannot be met."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import label

import micro
from medsmith.cases.case_ref import CaseRef
from medsmith.cases.cohort import Cohort
from medsmith.cli.label_maps import LabelMapOptions
from medsmith.cli.pasting import PastingOptions
from medsmith.errors import ContentError, MedsmithError, RequestError, RunError, TrainingError
from medsmith.insertion.memory import memory_needed
from medsmith.methods.config import apply_settings, validated
from medsmith.methods.copypaste.config import CopyPasteConfig
from medsmith.methods.copypaste.request import CopyPasteRequest
from medsmith.synthesis import SynthesisOptions, pasted_line, synthesize
from medsmith.synthesis.case_synthesis import resolve_sampling
from medsmith.training import train
from organ_scans import NAMES, begun, pasted, scan, written
from synthesis_fakes import InProcessExecutor


@pytest.fixture(scope="module")
def cases():
    return [scan(f"p{number}", noise=5, lesion_mm=8 + 2 * number) for number in range(3)]


@pytest.fixture(scope="module")
def method(cases):
    return begun(cases)


def test_templates_of_another_cohort_keep_their_labels_and_get_those_that_are_pasted(method, tmp_path):
    names = {"background": 0, "spleen": 1, "liver": 2}
    healthy = scan("healthy", noise=5)
    values = np.where(healthy.labels > 0, 2, 0).astype(np.uint8)
    cohort = written([replace(healthy, labels=values, label_names=names)], tmp_path / "t", names)
    facts = method.output_fingerprint(CopyPasteRequest(templates=CaseRef(cohort=cohort.root)))
    assert facts.label_names == {**names, "lesion": 3}
    case = pasted(method, 1, templates=str(cohort.root))
    assert case.label_names == facts.label_names
    assert set(np.unique(case.labels)) == {0, 2, 3}
    assert (values[case.labels == 3] == 2).all()
    assert case.provenance["template"] == "healthy"


def test_images_without_labels_are_templates_only_where_none_has_any(method, tmp_path):
    bare = [replace(scan(name, noise=5), labels=None) for name in ("a", "b")]
    alone = written(bare, tmp_path / "alone")
    assert pasted(method, 0, templates=str(alone.root)).provenance["template"] in ("a", "b")
    mixed = written([*bare, scan("c", noise=5)], tmp_path / "mixed")
    for seed in range(4):
        assert pasted(method, seed, templates=str(mixed.root)).provenance["template"] == "c"


def test_structures_of_the_image_itself_stay_and_are_counted(method, cases, tmp_path):
    case = pasted(method, 0)
    template = next(each for each in cases if each.id == case.provenance["template"])
    assert (case.labels == 2)[template.labels == 2].all()
    assert case.provenance["own_structures"] == 1
    assert label(case.labels == 2)[1] == 2
    healthy = scan("healthy", noise=5)
    bare = written([replace(healthy, labels=np.where(healthy.labels > 0, 1, 0).astype(np.uint8))], tmp_path / "bare")
    assert pasted(method, 0, templates=str(bare.root)).provenance["own_structures"] == 0


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([1, 1, 2], "3 of which keep those of their own (4): 2.3 per image and mask; for pasted ones alone"),
        ([0, 0, 0], "3 structures pasted into 3 images, which had none of their own"),
        ([], ""),
    ],
)
def test_what_was_pasted_is_said_with_the_structures_that_images_keep(own, said, tmp_path):
    (tmp_path / "provenance").mkdir()
    for number, count in enumerate(own):
        record = {"own_structures": count, "pasted": [{}]}
        (tmp_path / "provenance" / f"{number}.json").write_text(json.dumps(record))
    assert said in pasted_line(tmp_path)
    assert bool(pasted_line(tmp_path)) == bool(own)


def test_structures_are_chosen_by_label():
    names = {"background": 0, "liver": 1, "lesion": 2, "cyst": 3}
    cases = []
    for number in range(4):
        case = scan(f"p{number}", noise=5)
        labels = np.where((case.labels == 2) & (number % 2 == 0), 3, case.labels).astype(np.uint8)
        cases.append(replace(case, labels=labels, label_names=names))
    method = begun(cases)
    for seed in range(4):
        case = pasted(method, seed, structures=("cyst",))
        template = next(each for each in cases if each.id == case.provenance["template"])
        assert case.provenance["pasted"][0]["labels"] == ["cyst"]
        assert set(np.unique(case.labels[case.labels != template.labels])) == {3}
    assert begun(cases, structures=("lesion",))._donors.labels == ("lesion",)


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({"structures": ("bone",)}, "structures: no structure is labeled 'bone'; there are lesion; name one of these"),
        ({"within": ("lung",)}, "within: the templates have no label 'lung'; there are liver, lesion; name these"),
        ({"scale": (9.0, 10.0)}, "structures: no room for 1 of those that were tried in 3 templates; lower scale"),
        ({"templates": "nowhere"}, "nowhere: "),
    ],
)
def test_what_cannot_be_met_is_refused_in_one_line(method, request_, line):
    with pytest.raises(MedsmithError) as refusal:
        pasted(method, 0, **request_)
    assert refusal.value.line.startswith(line)
    assert "\n" not in refusal.value.line


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"scale": [2, 1]}, "request: scale = [2, 1]: the smallest comes first"),
        ({"per_image": [0, 1]}, "request: per_image.0 = 0; must be greater than or equal to 1"),
        ({"gray": "kep"}, 'request: gray = "kep"; must be'),
        ({"feather": 3}, "request: unknown key 'feather'; nearest: feather_mm"),
    ],
)
def test_a_request_that_says_something_wrong_is_refused(asked, line):
    with pytest.raises(RequestError) as refusal:
        validated(CopyPasteRequest, "request", asked)
    assert refusal.value.line.startswith(line)


def test_templates_that_are_no_ct_are_refused(method, tmp_path):
    shifted = scan("shifted", noise=5)
    cohort = written([replace(shifted, image=shifted.image + 1024)], tmp_path / "t")
    with pytest.raises(ContentError, match="rescale intercept lost"):
        pasted(method, 0, templates=str(cohort.root))


def test_templates_may_be_pictures(tmp_path):
    """The command tells the memory that scans need, and reads no header of pictures."""
    cohort = micro.micro_cohort(tmp_path / "pictures", count=2)
    assert memory_needed(cohort.root) == 0
    method = begun([micro.micro_case(index, 2, 1) for index in range(4)])
    case = pasted(method, 1, templates=str(cohort.root), scale=(0.4, 0.6))
    assert not case.geometry.spacing_known
    assert case.provenance["template"] in cohort


@pytest.mark.parametrize(
    ("given", "entries"),
    [
        ({}, {}),
        ({"per_image": "2"}, {"per_image": [2, 2]}),
        ({"per_image": "1,3", "organs": ["liver"]}, {"per_image": [1, 3], "within": ["liver"]}),
        ({"structures": ["lesion"]}, {"structures": ["lesion"]}),
    ],
)
def test_options_are_entries_of_a_request(given, entries):
    assert PastingOptions(**given).entries({}) == entries
    CopyPasteRequest.model_validate(entries)


@pytest.mark.parametrize("text", ["", "one", "1,2,3", "1.5", "-1"])
def test_a_number_that_is_none_is_refused(text):
    with pytest.raises(RequestError, match=r"NUMBER, or LEAST,MOST; write 1,3, say"):
        PastingOptions(per_image=text).entries({})


def test_labels_are_augmented_as_far_as_the_request_says():
    assert LabelMapOptions(augment=True).entries({}) == {"augment_labels": {}}
    assert LabelMapOptions(augment=True).entries({"augment_labels": {"shift": 0}}) == {"augment_labels": {"shift": 0}}
    assert LabelMapOptions().entries({"augment_labels": {}}) == {}


def test_structures_of_the_same_patient_alone_are_refused(cases):
    one = begun(cases, group="^(p)")
    with pytest.raises(RequestError, match="all structures are of patient 'p', as the template"):
        pasted(one, 0)


def test_a_run_that_keeps_no_templates_wants_some(cases, tmp_path):
    method = begun(cases, kept_templates=0)
    with pytest.raises(RequestError, match="this run keeps none"):
        pasted(method, 0)
    cohort = written([scan("other", noise=5)], tmp_path / "t")
    assert pasted(method, 0, templates=str(cohort.root)).labels.any()


def test_settings_that_cannot_be_are_refused(cases):
    with pytest.raises(RequestError, match="is no regular expression"):
        apply_settings(CopyPasteConfig(), ["group=(("])
    with pytest.raises(RequestError, match=r"no label 'bone'; there are liver, lesion"):
        begun(cases, structures=("bone",))
    names = {"background": 0, "liver": 1, "spot": 2}
    cure = re.escape("""say which are pasted: --set 'structures=["spot"]'""")
    with pytest.raises(RequestError, match=f"no label is named like a lesion; there are liver, spot; {cure}$"):
        begun([replace(case, label_names=names) for case in cases])
    with pytest.raises(TrainingError, match="no case has a structure to paste"):
        begun(cases, least_voxels=100_000)
    with pytest.raises(RequestError, match="this method samples nothing"):
        resolve_sampling(CopyPasteConfig(), None, 7)
    assert resolve_sampling(CopyPasteConfig(), None, None) == ("ddim", 1)


@pytest.mark.parametrize("name", ["structures", "structure_facts", "templates"])
def test_a_damaged_memory_is_refused(cases, name):
    method = begun(cases)
    method.memory = {**method.memory, name: torch.zeros_like(method.memory[name])}
    with pytest.raises(RunError, match=r"memory\.safetensors: "):
        pasted(method, 0)


def test_a_cohort_is_trained_and_made_like_any_other(cases, tmp_path):
    cohort = written([*cases, replace(scan("bare"), labels=None)], tmp_path / "c")
    said: list[str] = []
    run = train("copypaste", cohort, tmp_path / "run", report=said.append)
    assert said[0].endswith("); without steps: structures")
    assert "No network, seed 0" in (run / "README.md").read_text()
    assert "Trained on 3 of 4 cases" in (run / "README.md").read_text()
    options = SynthesisOptions(executor=InProcessExecutor)
    for folder, count in (("one", 3), ("other", 2)):
        synthesize(run, tmp_path / folder, count=count, workers=1, options=options)
    one, other = (Cohort.open(tmp_path / folder) for folder in ("one", "other"))
    assert len(one) == 3
    assert dict(one.label_names) == NAMES
    for id in other.ids:
        assert np.array_equal(one[id].require_image(), other[id].require_image())
        assert one[id].provenance == other[id].provenance
    assert {"template", "pasted"} <= (one[one.ids[0]].provenance or {}).keys()


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_workers(cases, tmp_path):
    run = train("copypaste", written(cases, tmp_path / "c"), tmp_path / "run")
    for workers in (1, 2):
        synthesize(run, tmp_path / f"w{workers}", count=3, workers=workers)
    files = [sorted(path for path in (tmp_path / f"w{n}").rglob("*.nii.gz")) for n in (1, 2)]
    assert len(files[0]) == 6
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
