"""Cohorts and files named by a request, at any depth: found, hashed once, removed from provenance, restored."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import micro
from medsmith.cases.case_ref import CaseRef, candidate_ids, load_case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, FileError, MedsmithError, RequestError, SynthesisError
from medsmith.formats.opening import open_regular
from medsmith.methods.config import validated
from medsmith.synthesis import regenerate, synthesize
from medsmith.synthesis.references import find_references, hash_references, with_paths, without_paths
from medsmith.synthesis.unchanged import of_unchanged_inputs, stamps_of
from narrowing import present
from synthesis_fakes import FakeMethod, GuidedRequest, contents, in_process, options, write_run

PLACES = st.text("abc/", min_size=1, max_size=6).map(lambda text: f"/secret/{text}")
REFS = st.fixed_dictionaries({"cohort": PLACES}, optional={"case": st.none() | st.text(max_size=4)})
REQUESTS = st.fixed_dictionaries(
    {
        "masks": st.none() | REFS,
        "guides": st.lists(st.fixed_dictionaries({"image": REFS | PLACES, "notes": st.lists(PLACES, max_size=2)})),
        "named": st.dictionaries(st.text("xy", min_size=1), REFS, max_size=3),
    }
)


@settings(max_examples=60, deadline=None)
@given(REQUESTS)
def test_what_is_taken_out_of_a_request_can_be_put_back(values):
    request = validated(GuidedRequest, "request", values)
    references = find_references(request)
    bare = without_paths(request, references)
    assert "secret" not in json.dumps(bare)
    paths = {reference.key: reference.path for reference in references}
    assert len(paths) == len(references)
    assert validated(GuidedRequest, "request", with_paths(json.loads(json.dumps(bare)), paths)) == request
    assert without_paths(request, references) == bare


def test_references_are_found_at_any_depth():
    @dataclass(frozen=True)
    class Page:
        file: Path

    class Book(BaseModel):
        pages: list[dict[str, tuple[Page, ...]]]
        first: Path | None = None
        title: str = "/no/path"

    book = Book.model_validate({"pages": [{}, {"odd": [{"file": "a"}, {"file": "b"}]}]})
    found = {reference.key: (reference.path, reference.kind) for reference in find_references(book)}
    assert found == {"pages.1.odd.0.file": ("a", "files"), "pages.1.odd.1.file": ("b", "files")}


def test_a_key_with_a_dot_above_a_file_is_refused():
    request = validated(GuidedRequest, "request", {"named": {"a.b": "cohort"}})
    with pytest.raises(RequestError, match=r"^request: the key named > a\.b has a dot"):
        find_references(request)


def test_a_set_of_files_is_a_mistake_of_the_method():
    class Loose(BaseModel):
        files: frozenset[Path]

    with pytest.raises(TypeError, match="use a tuple"):
        find_references(Loose(files=frozenset((Path("a"),))))


@pytest.mark.parametrize("key", ["nothing.here", "guides.3.image", "guides.x", "brightness.deep"])
def test_a_place_for_nothing_is_refused(key):
    with pytest.raises(RequestError, match=f"has no place for '{key}'"):
        with_paths({"guides": [{"image": {"case": None}}], "brightness": 1.0}, {key: "somewhere"})


@pytest.fixture
def place(tmp_path):
    """A run whose requests have guides, and two cohorts."""
    write_run(tmp_path / "run", guided=True)
    micro.micro_cohort(tmp_path / "one", count=3)
    micro.micro_cohort(tmp_path / "two", count=2)
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "link").symlink_to("one")
    return tmp_path


def request_of(place):
    return {
        "masks": str(place / "one"),
        "guides": [
            {"image": {"cohort": str(place / "one"), "case": "case_1"}, "notes": [str(place / "note.txt")]},
            {"image": str(place / "two")},
        ],
        "named": {"again": str(place / "two" / ".." / "link")},
    }


def make(place, out="out", executor=in_process, **request):
    asked = request_of(place) | request
    return synthesize(place / "run", place / out, count=2, workers=1, request=asked, options=executor())


def test_every_file_is_read_once_and_no_path_is_in_a_record(place, monkeypatch):
    read, content_hash = [], Cohort.content_hash

    def noting(cohort):
        read.append(cohort.ids)
        return content_hash(cohort)

    monkeypatch.setattr(Cohort, "content_hash", noting)
    make(place)
    whole = ("case_0", "case_1", "case_2")
    assert sorted(read) == [("case_0", "case_1"), whole, ("case_1",)]
    assert not [name for name, content in contents(place / "out").items() if str(place).encode() in content]
    record = json.loads((place / "out" / "provenance" / "fake_00001.json").read_text())
    assert record["request"] == {
        "brightness": 0.0,
        "masks": {"case": None},
        "guides": [{"image": {"case": "case_1"}, "notes": [None]}, {"image": {"case": None}, "notes": []}],
        "named": {"again": {"case": None}},
    }
    inputs = record["inputs"]
    assert sorted(inputs) == ["guides.0.image", "guides.0.notes.0", "guides.1.image", "masks", "named.again"]
    assert inputs["masks"] == inputs["named.again"] == Cohort.open(place / "one").content_hash()
    assert inputs["guides.1.image"] == Cohort.open(place / "two").content_hash()
    assert len(set(inputs.values())) == 4
    plan = json.loads((place / "out" / "synthesis.json").read_text())
    assert plan["paths"]["guides.0.image"] == "../one"
    assert plan["paths"]["guides.0.notes.0"] == "../note.txt"


def test_processes_make_the_same_bytes(place):
    make(place)
    make(place, "again", options)
    assert contents(place / "out") == contents(place / "again")


def test_the_cohort_that_is_named_decides_the_bytes(place):
    make(place)
    make(place, "other", guides=[{"image": {"cohort": str(place / "one"), "case": "case_2"}}])
    one, other = (contents(place / name)["imagesTr/fake_00000_0000.png"] for name in ("out", "other"))
    assert one != other


def test_all_may_move_together_or_each_by_its_key(place, tmp_path_factory):
    make(place)
    moved = tmp_path_factory.mktemp("moved") / "here"
    shutil.move(place, moved)
    assert regenerate(moved / "out", "fake_00001", options=in_process())
    (moved / "two").rename(moved / "three")
    with pytest.raises(FileError, match=r"two: does not exist; .*--input guides\.1\.image=PATH$"):
        regenerate(moved / "out", "fake_00001", options=in_process())
    assert regenerate(moved / "out", "fake_00001", inputs={"guides.1.image": moved / "three"}, options=in_process())
    (moved / "one").rename(moved / "four")
    with pytest.raises(FileError, match=r"moved: --input guides\.0\.image=PATH --input guides\.1\.image=PATH --input "):
        regenerate(moved / "out", "fake_00001", options=in_process())


def test_of_a_named_case_its_own_files_alone_count(place):
    asked: dict[str, Any] = {
        "masks": None,
        "named": {},
        "guides": [{"image": {"cohort": str(place / "one"), "case": "case_1"}}],
    }
    make(place, **asked)
    files = Cohort.open(place / "one").files
    shutil.copy(present(files("case_0").labels), present(files("case_2").labels))
    assert regenerate(place / "out", "fake_00001", options=in_process())
    shutil.copy(present(files("case_0").labels), present(files("case_1").labels))
    with pytest.raises(SynthesisError, match=r"one: fake_00001 was not made from it: .*--input guides\.0\.image=PATH"):
        regenerate(place / "out", "fake_00001", options=in_process())


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        ({"cohort": "one", "case": "case_7"}, CohortError, "one: no case 'case_7'; has case_0, "),
        ("nowhere", FileError, "nowhere: does not exist; give the folder of a cohort"),
        ("note.txt", FileError, "note.txt: a file, not a folder"),
    ],
)
def test_what_is_not_there_is_one_line_and_leaves_nothing(place, monkeypatch, asked, kind, words):
    monkeypatch.chdir(place)
    with pytest.raises(kind) as caught:
        make(place, guides=[{"image": asked}])
    assert words in caught.value.line
    assert "\n" not in caught.value.line
    assert not (place / "out").exists()


def test_a_file_that_is_not_there_is_named_with_its_key(place):
    with pytest.raises(FileError, match=r"gone: does not exist; the request names it as guides\.0\.notes\.0"):
        make(place, guides=[{"image": str(place / "one"), "notes": [str(place / "gone")]}])


def test_a_folder_of_files_counts_by_its_files(tmp_path):
    class Maps(BaseModel):
        maps: Path

    references = find_references(Maps(maps=tmp_path))
    (tmp_path / "a").write_text("1")
    before = hash_references(references)
    (tmp_path / "b").write_text("2")
    assert hash_references(references) != before


def test_a_case_is_named_or_falls_to_a_lot(tmp_path):
    root = micro.micro_cohort(tmp_path / "cohort", count=3).root
    assert [load_case(CaseRef(cohort=root), lot).id for lot in range(4)] == ["case_0", "case_1", "case_2", "case_0"]
    assert {load_case(CaseRef(cohort=root, case="case_1"), lot).id for lot in range(4)} == {"case_1"}
    assert candidate_ids(CaseRef(cohort=root, case="case_1")) == ("case_1",)


def test_a_case_that_is_not_there_is_one_line(tmp_path):
    root = micro.micro_cohort(tmp_path / "cohort", count=2).root
    with pytest.raises(RequestError) as caught:
        load_case(CaseRef(cohort=root, case="nobody"), 0)
    assert caught.value.line == f"{root}: no case 'nobody'; has case_0, case_1; name one of these"
    empty = Cohort.create(
        tmp_path / "empty", channel_names=("CT",), label_names={"background": 0, "a": 1}, file_ending=".nii.gz"
    )
    with pytest.raises(RequestError, match="empty: has no cases; at least one"):
        load_case(CaseRef(cohort=empty.root), 0)
    with pytest.raises(MedsmithError, match="nowhere: does not exist"):
        load_case(CaseRef(cohort=tmp_path / "nowhere"), 0)


def disturbing(place, disturb):
    """A method in whose second attempt something happens to a file that it has read."""
    whole, calls = FakeMethod.synthesize, 0

    def synthesize_and_disturb(method, request, seed, sampling):
        nonlocal calls
        calls += 1
        case = whole(method, request, seed, sampling)
        if calls == 2:
            disturb(place / "one" / "imagesTr" / "case_1_0000.png")
        return case

    return synthesize_and_disturb


def replace_by_another(path):
    path.write_bytes(path.with_name("case_2_0000.png").read_bytes())


def replace_keeping_the_time(path):
    before = path.stat()
    replace_by_another(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_onto_itself(path):
    path.write_bytes(path.read_bytes())


def add_a_report(path):
    report = path.parent.parent / "reports" / "case_1.json"
    report.parent.mkdir()
    report.write_text("{}")


@pytest.mark.parametrize("disturb", [replace_by_another, replace_keeping_the_time, Path.unlink, add_a_report])
def test_no_case_names_a_hash_of_what_was_not_read(place, monkeypatch, disturb):
    undisturbed = {"masks": Cohort.open(place / "one").content_hash()}
    monkeypatch.setattr(FakeMethod, "synthesize", disturbing(place, disturb))
    request = request_of(place) | {"guides": [{"image": {"cohort": str(place / "one"), "case": "case_1"}}]}
    said = r"one: was changed while cases were made of it; .*; restore it, or choose a new folder|does not exist"
    with pytest.raises((SynthesisError, FileError), match=said):
        synthesize(place / "run", place / "out", count=9, workers=1, request=request, options=in_process())
    records = [json.loads(path.read_text()) for path in (place / "out" / "provenance").glob("*.json")]
    assert len(records) < 2
    assert all(record["inputs"]["masks"] == undisturbed["masks"] for record in records)


@pytest.mark.usefixtures("unchecked_types")
def test_an_input_that_was_refused_is_refused_in_the_next_case_too(place):
    request = validated(GuidedRequest, "request", {"masks": str(place / "one")})
    references = find_references(request)
    recipe = SimpleNamespace(inputs=hash_references(references))
    task: Any = SimpleNamespace(recipe=recipe, stamps=stamps_of(references))
    changed = place / "one" / "imagesTr" / "case_1_0000.png"

    def read_and_replace():
        open_regular(changed).close()
        replace_by_another(changed)

    for make_one in (read_and_replace, lambda: open_regular(changed).close()):
        with pytest.raises(SynthesisError, match="one: was changed while cases were made of it"):
            of_unchanged_inputs(task, request, make_one)


def test_a_file_that_was_touched_changes_nothing(place, monkeypatch):
    make(place)
    monkeypatch.setattr(FakeMethod, "synthesize", disturbing(place, copy_onto_itself))
    make(place, "again")
    assert contents(place / "out") == contents(place / "again")


def test_inputs_are_looked_at_once_and_then_those_that_a_case_used(tmp_path, monkeypatch):
    write_run(tmp_path / "run", guided=True)
    looks, stat = [], Path.stat

    def counted(path, **options):
        looks.extend([path] * path.is_relative_to(tmp_path / "inputs"))
        return stat(path, **options)

    (tmp_path / "inputs").mkdir()
    cohorts = {cases: micro.micro_cohort(tmp_path / "inputs" / str(cases), count=cases).root for cases in (3, 30)}
    monkeypatch.setattr(Path, "stat", counted)
    found = {}
    for cases, root in cohorts.items():
        for count in (1, 5):
            looks.clear()
            request, out = {"guides": [{"image": str(root)}]}, tmp_path / f"{cases}-{count}"
            synthesize(tmp_path / "run", out, count=count, workers=1, request=request, options=in_process())
            found[cases, count] = len(looks)
    of_four_cases = {cases: found[cases, 5] - found[cases, 1] for cases in cohorts}
    assert of_four_cases[30] <= of_four_cases[3] + found[3, 1]
    assert found[30, 1] <= 10 * found[3, 1]


def test_paths_that_no_record_can_name_are_refused_before_anything_is_made(place):
    with pytest.raises(RequestError, match=r"masks.cohort: is no path that can be recorded: '.*' is no UTF-8; rename"):
        make(place, masks="caf\udce9")
    with pytest.raises(RequestError, match=r"run: '.*' is no text of one line; .*; rename the folder"):
        synthesize(place / "caf\udce9", place / "out", count=1, options=in_process())
    assert not (place / "out").exists()
