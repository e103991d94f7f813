"""The names that a script imports: which there are, and that they take paths and refuse what they cannot take."""

import inspect
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pydantic import BaseModel

import medsmith
from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, FileError, MethodError, RequestError
from medsmith.geometry import Geometry

pytestmark = pytest.mark.usefixtures("no_fsync")
COMMANDS = (
    "adherence annotate crop describe evaluate merge phantom prepare regenerate split sweep synthesize train utility"
)
NAMES = {"background": 0, "lesion": 1}


def test_every_public_name_is_listed_and_there_and_nothing_else():
    assert set(medsmith.__all__) <= set(dir(medsmith))
    assert len(dir(medsmith)) == len(set(dir(medsmith)))
    assert {name for name in dir(medsmith) if not name.startswith("_")} == set(medsmith.__all__) - {"__version__"}
    for name in medsmith.__all__:
        assert getattr(medsmith, name) is not None
    assert set(COMMANDS.split()) <= set(medsmith.__all__)


def test_the_package_is_imported_without_what_takes_seconds():
    code = "import sys, medsmith; dir(medsmith); print(sorted({'torch', 'scipy', 'nibabel'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_case_is_shown_without_its_voxels():
    grid, names = Geometry((9, 10, 11), np.eye(4)), {"background": 0, "liver": 1, "lesion": 2}
    labels = np.zeros(grid.shape, np.uint8)
    case = Case("c", np.zeros((2, *grid.shape), np.float32), labels, grid, ("T1", "T2"), names)
    assert repr(case) == "Case('c', 9 x 10 x 11; image: T1, T2; labels: liver, lesion)"
    image = replace(case, labels=None, provenance={"seed": 1})
    assert repr(image) == "Case('c', 9 x 10 x 11; image: T1, T2; no labels; synthetic)"
    assert repr(replace(case, image=None)) == "Case('c', 9 x 10 x 11; no image; labels: liver, lesion)"


@pytest.mark.parametrize("name", [name for name in medsmith.__all__ if name.endswith("Request")])
def test_requests_are_models_with_documented_fields(name):
    model = getattr(medsmith, name)
    assert issubclass(model, BaseModel)
    documented = "".join(inspect.getdoc(base) or "" for base in model.__mro__ if issubclass(base, BaseModel))
    assert [field for field in model.model_fields if f"{field}:" not in documented] == []


@pytest.mark.parametrize("name", COMMANDS.split())
def test_no_function_demands_that_its_lines_are_read(name):
    parameters = inspect.signature(getattr(medsmith, name)).parameters
    for optional in {"report", "progress"} & parameters.keys():
        assert parameters[optional].default is not inspect.Parameter.empty


def cohort_in(root, count=2):
    made = Cohort.create(root, channel_names=("MR",), label_names=NAMES, file_ending=".nii.gz")
    for number in range(count):
        image = np.random.default_rng(number).normal(100, 9, (1, 9, 10, 11)).astype(np.float32)
        labels = np.zeros((9, 10, 11), np.uint8)
        labels[3:6, 3:6, 3:6] = 1
        made.write(Case(f"c{number}", image, labels, Geometry((9, 10, 11), np.eye(4)), ("MR",), NAMES))
    made.finish()
    return made


def test_cohorts_are_taken_as_such_or_by_their_folder(tmp_path):
    first, second = cohort_in(tmp_path / "first"), cohort_in(tmp_path / "second")
    by_path = medsmith.merge([str(first.root), second.root], tmp_path / "by_path")
    itself = medsmith.merge([first, second], tmp_path / "itself")
    assert by_path.content_hash() == itself.content_hash()
    train, test = medsmith.split(by_path, tmp_path / "train", tmp_path / "test", test_fraction=0.5)
    assert sorted((*train.ids, *test.ids)) == list(by_path.ids)
    assert medsmith.describe(str(tmp_path / "first"), tmp_path / "reports").written == 2
    prepared = medsmith.prepare(tmp_path / "first", tmp_path / "prepared")
    assert repr(prepared) == f"Cohort('{tmp_path}/prepared', 2 cases)"
    assert len(medsmith.phantom("breast", tmp_path / "phantom", 1, size=32)) == 1


def test_a_part_of_a_cohort_is_split_and_merged_as_that_part(tmp_path):
    whole = cohort_in(tmp_path / "whole", 4)
    part = whole.subset(["c1", "c3"])
    train, test = medsmith.split(part, tmp_path / "train", tmp_path / "test", test_fraction=0.5)
    assert sorted((*train.ids, *test.ids)) == ["c1", "c3"]


CALLS = {
    "evaluate": lambda wrong, out: medsmith.evaluate(wrong, wrong, out),
    "utility": lambda wrong, out: medsmith.utility(wrong, wrong, wrong, out),
    "train": lambda wrong, out: medsmith.train("ddpm", wrong, out),
    "make_plan": lambda wrong, _out: medsmith.make_plan("ddpm", wrong),
    "describe": lambda wrong, out: medsmith.describe(wrong, out),
    "split": lambda wrong, out: medsmith.split(wrong, out / "a", out / "b", test_fraction=0.5),
    "crop": lambda wrong, out: medsmith.crop(wrong, out, medsmith.CropOptions((10, 10, 10))),
    "merge": lambda wrong, out: medsmith.merge([wrong, wrong], out),
    "create_study": lambda wrong, out: medsmith.create_study(wrong, wrong, out, medsmith.StudyPlan(count=8)),
    "prepare": lambda wrong, out: medsmith.prepare(wrong, out),
    "fit": lambda wrong, _out: medsmith.ShapeSpace.fit(wrong),
}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_cohort_is_one_clear_error(name, tmp_path):
    with pytest.raises(RequestError) as refused:
        CALLS[name](["scans"], tmp_path / "out")
    assert "a list (['scans'])" in refused.value.line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("unchecked_types")
def test_a_cohort_given_to_prepare_is_told_what_to_pass(tmp_path):
    with pytest.raises(RequestError, match=r"source: a Cohort .*cohort\.root"):
        medsmith.prepare(cohort_in(tmp_path / "in"), tmp_path / "out")
    empty = Cohort.create(tmp_path / "empty", channel_names=("MR",), label_names=NAMES, file_ending=".nii.gz")
    with pytest.raises(CohortError, match="has no cases"):
        medsmith.describe(empty)


@pytest.mark.usefixtures("unchecked_types")
def test_a_notebook_shows_the_line_of_the_cell_and_the_message(tmp_path):
    try:
        Cohort.open(tmp_path / "nowhere")
    except FileError as error:
        shown = error._render_traceback_()
    number = inspect.getsourcelines(test_a_notebook_shows_the_line_of_the_cell_and_the_message)[1] + 3
    message = f"FileError: {tmp_path / 'nowhere'}: does not exist; give the folder of a cohort"
    assert shown == [f'line {number}: Cohort.open(tmp_path / "nowhere")', message]
    fault = MethodError("method mine", "raised KeyError")
    fault.add_note("the traceback of the method")
    assert fault._render_traceback_() == ["the traceback of the method", "MethodError: method mine: raised KeyError"]
