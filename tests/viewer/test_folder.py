"""The folder of a viewer: what it may replace, how it continues, what it loads, where pages link to it."""

import hashlib
import json
import os
import re
import shutil
import sys
from importlib.resources import files

import numpy as np
import pytest

from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, FileError, RequestError
from medsmith.evaluation.pages.page import Page, render
from medsmith.evaluation.pages.viewer_link import link_to_coming_view, links_to_views
from medsmith.geometry import Geometry
from medsmith.viewer import write_view
from medsmith.viewer.case_file import case_parts
from view_files import cohort_of, read_index, read_script, record, scan


def three(tmp_path):
    return cohort_of(tmp_path / "cohort", *(scan(id, provenance=record()) for id in "abc"))


def scripts(folder):
    return {path.name: path.read_bytes() for path in folder.glob("cases/*.js")}


def test_it_lies_beside_the_cohort_and_is_the_same_every_time(tmp_path):
    cohort = three(tmp_path)
    view = write_view(cohort)
    assert view.page == tmp_path / "cohort-view" / "index.html"
    assert (view.count, view.written) == (3, 3)
    assert view.size == sum(path.stat().st_size for path in view.page.parent.rglob("*.*"))
    again = write_view(cohort, tmp_path / "other")
    for path in view.page.parent.rglob("*.*"):
        if path.name != "view.json":
            assert path.read_bytes() == (again.page.parent / path.relative_to(view.page.parent)).read_bytes()


def test_nothing_is_fetched(tmp_path):
    """The policy allows scripts from where the page lies and pictures inside it; our own files name no address."""
    folder = write_view(three(tmp_path)).page.parent
    page = (folder / "index.html").read_text()
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = dict(part.split(" ", 1) for part in policy[1].split("; "))
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"] == "'self' file:"
    assert allowed["img-src"] == "data: blob:"
    assert "connect-src" not in allowed
    ours = [folder / "index.html", folder / "viewer.js", *folder.glob("cases/*.js")]
    outside = re.compile(r"https?://|fetch\(|XMLHttpRequest|import\(")
    assert not [path.name for path in ours if outside.search(path.read_text())]
    assert re.findall('src="([^"]*)"', page) == ["niivue.js", "viewer.js"]


def test_niivue_is_the_published_file_with_its_license(tmp_path):
    folder = write_view(three(tmp_path)).page.parent
    source = json.loads(files("medsmith.viewer").joinpath("niivue/source.json").read_text())
    assert hashlib.sha256((folder / "niivue.js").read_bytes()).hexdigest() == source["sha256"]
    assert (source["package"], source["version"], source["license"]) == ("@niivue/niivue", "0.69.0", "BSD-2-Clause")
    licenses = (folder / "niivue-licenses.txt").read_text()
    assert "Copyright (c) 2021, Niivue" in licenses
    assert "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS" in licenses


def test_an_interrupted_call_continues(tmp_path, monkeypatch):
    cohort = three(tmp_path)

    def interrupted(case, digest, before):
        if case.id == "b":
            raise KeyboardInterrupt
        return case_parts(case, digest, before)

    monkeypatch.setattr("medsmith.viewer.folder.case_parts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_view(cohort)
    folder = tmp_path / "cohort-view"
    assert scripts(folder).keys() == {"a.js"}
    assert not (folder / "index.html").exists()
    (folder / "cases" / ".medsmith-0123456789abcdef.js").write_bytes(b"of a writer that was killed")
    monkeypatch.setattr("medsmith.viewer.folder.case_parts", case_parts)
    assert write_view(cohort).written == 2
    assert scripts(folder) == scripts(write_view(cohort, tmp_path / "whole").page.parent)
    assert not list(folder.glob("cases/.medsmith*"))


def test_only_what_has_changed_is_written_and_what_is_not_chosen_removed(tmp_path):
    cohort = three(tmp_path)
    folder = write_view(cohort).page.parent
    path = cohort.root / "provenance" / "b.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"method": "another"}))
    before = scripts(folder)
    assert write_view(cohort).written == 1
    assert {name for name, data in scripts(folder).items() if data != before[name]} == {"b.js"}
    (folder / "cases" / "c.js").write_text("// half a file")
    assert write_view(cohort).written == 1
    assert write_view(cohort, cases=["c", "a", "c"]).count == 2
    assert scripts(folder).keys() == {"a.js", "c.js"}
    assert [case["id"] for case in read_index(folder)["cases"]] == ["a", "c"]
    assert write_view(cohort, count=1).written == 0
    assert scripts(folder).keys() == {"a.js"}


def test_files_of_others_in_its_folder_stay(tmp_path):
    cohort = three(tmp_path)
    folder = write_view(cohort).page.parent
    (folder / "cases" / "mine.js").write_text("// my own")
    (folder / "cases" / "folder.js").mkdir()
    (folder / "cases" / "link.js").symlink_to("a.js")
    assert write_view(cohort, count=1).count == 1
    assert {path.name for path in (folder / "cases").iterdir()} == {"a.js", "mine.js", "folder.js", "link.js"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_an_id_that_no_page_can_name_is_refused(tmp_path):
    root = three(tmp_path).root
    for path in sorted(root.rglob("b*")):
        path.rename(path.with_name(path.name.replace("b", os.fsdecode(b"b\xff"), 1)))
    with pytest.raises(CohortError, match="is no UTF-8; the page loads each case by its id; rename the files"):
        write_view(Cohort.open(root))
    assert not (tmp_path / "cohort-view").exists()
    assert write_view(Cohort.open(root), cases=["a"]).count == 1


def test_folders_of_others_stay_as_they_are(tmp_path):
    cohort = three(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("two years")
    (tmp_path / "file").write_text("")
    other = cohort_of(tmp_path / "others", scan("x"))
    for out, error, message in (
        (tmp_path / "mine", CohortError, "holds something else; a viewer has a folder of its own; choose a new folder"),
        (tmp_path, CohortError, "holds something else"),
        (cohort.root, CohortError, "nothing is written into what is read"),
        (cohort.root / "view", CohortError, "nothing is written into what is read"),
        (tmp_path / "file", FileError, "a file, not a folder"),
        (write_view(other).page.parent, CohortError, "is no viewer of"),
    ):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(error, match=message):
            write_view(cohort, out)
        assert sorted(tmp_path.rglob("*")) == before


def test_wrong_choices_are_refused(tmp_path):
    cohort = three(tmp_path)
    with pytest.raises(CohortError, match="no case 'z'"):
        write_view(cohort, cases=["a", "z"])
    with pytest.raises(RequestError, match="--count: and --cases are both given"):
        write_view(cohort, cases=["a"], count=1)
    empty = Cohort.create(tmp_path / "empty", channel_names=("CT",), label_names={"background": 0}, file_ending=".png")
    with pytest.raises(CohortError, match="has no cases"):
        write_view(empty)
    assert not list(tmp_path.glob("*-view"))


def plan(cohort, templates):
    recipe: dict[str, object] = dict.fromkeys(("method", "config_hash", "weights_hash", "memory_hash", "solver"), "x")
    recipe |= {"device": "cpu", "precision": "float32", "seed": 0, "steps": 1}
    recipe |= {"inputs": {}, "request": {}, "limits": {}}
    plan = {"format": 1, "count": 3, "run": "lesiondiffusion", "paths": {"templates": templates}, "recipe": recipe}
    (cohort.root / "synthesis.json").write_text(json.dumps(plan))


def test_the_scan_before_the_edit_is_found_by_the_plan(tmp_path):
    cohort = three(tmp_path)
    scans = cohort_of(tmp_path / "scans", scan("scan", labels=None, label_names={"background": 0}))
    plan(cohort, "../scans")
    view = write_view(cohort)
    assert view.notes == ()
    assert read_script(view.page.parent / "cases" / "a.js").content["before"] == "scan"
    before = read_script(view.page.parent / "templates" / "scan.js")
    assert np.array_equal(before.volumes["channel 0"].dataobj, scans["scan"].require_image()[0])
    assert before.content == {"id": "scan"}
    shutil.rmtree(scans.root)
    moved = write_view(cohort)
    assert moved.notes[0].startswith("the scans before the edit are not shown: ")
    assert moved.written == 3
    assert read_script(view.page.parent / "cases" / "a.js").content["before"] is None
    assert not list(view.page.parent.glob("templates/*"))


def edited(case_id, stored=np.int16):
    """A case made of the scan "scan": one box of it has other values."""
    before = scan("scan").require_image()
    image = before.copy()
    image[0, 4:7, 2:9, 3:5] += 10
    return scan(case_id, image=image, stored=np.dtype(stored), provenance=record())


def test_of_an_edited_scan_a_case_holds_what_has_changed(tmp_path):
    scans = cohort_of(tmp_path / "scans", scan("scan", labels=None, label_names={"background": 0}))
    cohort = cohort_of(tmp_path / "out", edited("a"), edited("b"), scan("untouched", image=scan("scan").image))
    folder = write_view(cohort, templates=scans).page.parent
    assert [path.name for path in folder.glob("templates/*")] == ["scan.js"]
    whole = np.asarray(read_script(folder / "templates" / "scan.js").volumes["channel 0"].dataobj).copy()
    shown = read_script(folder / "cases" / "a.js")
    assert shown.volumes.keys() == {"change 0", "labels"}
    (place,) = shown.content["changed_at"]
    box = np.asarray(shown.volumes["change 0"].dataobj)
    # Stored from left to right and from front to back: the first two axes are turned.
    assert (place, box.shape) == ([12 - 7, 10 - 9, 3], (3, 7, 2))
    whole[tuple(slice(start, start + length) for start, length in zip(place, box.shape, strict=True))] = box
    assert np.array_equal(whole, cohort["a"].require_image()[0])


def test_a_case_that_equals_its_scan_changes_one_voxel_to_itself(tmp_path):
    names = {"background": 0}
    scans = cohort_of(tmp_path / "scans", scan("scan", labels=None, label_names=names))
    cohort = cohort_of(tmp_path / "out", scan("a", image=scan("scan").image, provenance=record()))
    shown = read_script(write_view(cohort, templates=scans).page.parent / "cases" / "a.js")
    assert shown.content["changed_at"] == [[0, 0, 0]]
    assert np.array_equal(shown.volumes["change 0"].dataobj, scans["scan"].require_image()[0][:1, :1, :1])


def test_a_case_of_another_data_type_than_its_scan_is_whole(tmp_path):
    scans = cohort_of(tmp_path / "scans", scan("scan", labels=None, label_names={"background": 0}))
    cohort = cohort_of(tmp_path / "out", edited("a", np.float32))
    shown = read_script(write_view(cohort, templates=scans).page.parent / "cases" / "a.js")
    assert (shown.content["before"], shown.content["changed_at"]) == ("scan", [])
    assert np.array_equal(shown.volumes["channel 0"].dataobj, cohort["a"].require_image()[0])


def test_a_case_is_written_again_when_its_scan_has_changed(tmp_path):
    facts = {"labels": None, "label_names": {"background": 0}}
    cohort = cohort_of(tmp_path / "out", edited("a"), edited("b"))
    scans = cohort_of(tmp_path / "scans", scan("scan", **facts))
    assert write_view(cohort, templates=scans).written == 2
    assert write_view(cohort, templates=scans).written == 0
    shutil.rmtree(scans.root)
    other = cohort_of(tmp_path / "scans", scan("scan", image=scan("scan").require_image() + 1, **facts))
    assert write_view(cohort, templates=other).written == 2
    box = read_script(tmp_path / "out-view" / "cases" / "a.js").volumes["change 0"]
    assert box.shape == (12, 10, 8)


def test_a_folder_of_an_earlier_format_is_written_anew(tmp_path):
    cohort = three(tmp_path)
    folder = write_view(cohort).page.parent
    state = json.loads((folder / "view.json").read_text())
    (folder / "view.json").write_text(json.dumps(state | {"format": 1}))
    assert write_view(cohort).count == 3


def test_the_scan_before_the_edit_is_found_by_the_option(tmp_path):
    names = {"background": 0}
    cohort = cohort_of(tmp_path / "out", scan("a", provenance=record()), scan("b", provenance=record(template="gone")))
    scans = cohort_of(tmp_path / "scans", scan("scan", labels=None, label_names=names))
    view = write_view(cohort, templates=scans)
    assert view.notes == (f"1 of 2 templates are not in {scans.root}, or on another grid",)
    shown = [read_script(view.page.parent / "cases" / f"{id}.js").content["before"] for id in "ab"]
    assert shown == ["scan", None]
    moved = Geometry((12, 10, 8), np.diag([-2.0, -1.5, 3.1, 1.0]))
    wrong = cohort_of(tmp_path / "wrong", scan("scan", labels=None, label_names=names, geometry=moved))
    with pytest.raises(CohortError, match=r"holds the template of no case, on the same grid; .* gone, scan"):
        write_view(cohort, tmp_path / "new", templates=wrong)
    plain = cohort_of(tmp_path / "plain", scan("a"))
    with pytest.raises(CohortError, match="no case names the scan that it was made from"):
        write_view(plain, tmp_path / "new", templates=scans)
    assert not (tmp_path / "new").exists()


def test_a_name_in_the_page_is_text(tmp_path):
    cohort = cohort_of(tmp_path / "<b>cohort", scan("a"))
    page = write_view(cohort).page.read_text()
    assert "<b>" not in page
    assert page.count("<script") == 3
    root = tmp_path / "images only"
    (root / "images").mkdir(parents=True)
    shutil.copy(cohort.files("a").paths[0], root / "images" / "<b> #1 ü.nii.gz")
    odd = write_view(Cohort.open(root))
    assert read_index(odd.page.parent)["cases"][0]["id"] == "<b> #1 ü"
    assert "<b>" not in odd.page.read_text()
    assert (odd.page.parent / "cases" / "<b> #1 ü.js").is_file()


def test_other_pages_link_to_it(tmp_path):
    cohort = three(tmp_path)
    link = link_to_coming_view(cohort.root, cohort.root / "lesions.html")
    assert "medsmith view cohort" in link.text
    report = tmp_path / "reports" / "one" / "evaluation.html"
    assert links_to_views({"synthetic": cohort.root}, report) == ()
    view = write_view(cohort)
    assert (cohort.root / link.address).resolve() == view.page
    (found,) = links_to_views({"synthetic": cohort.root, "real": tmp_path}, report)
    assert (found.text, found.address) == (
        "Look at the synthetic cases in their viewer",
        "../../cohort-view/index.html",
    )
    page = render(Page("title", ["done"], [], links=[found]))
    assert '<a href="../../cohort-view/index.html">Look at the synthetic cases in their viewer</a>' in page
    assert read_index(view.page.parent)["pages"] == []
    (cohort.root / "lesions.html").write_text("")
    write_view(cohort)
    assert read_index(view.page.parent)["pages"] == ["../cohort/lesions.html"]


def test_the_command(tmp_path, capsys):
    three(tmp_path)
    root = str(tmp_path / "cohort")
    with pytest.raises(SystemExit):
        main(["view", root, "--cases", "a, b"])
    assert "cohort-view/index.html, 2 cases (2 written), " in capsys.readouterr().out
    assert main(["view", root, "--cases", "nobody"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["view", root, "--cases", ", "]) == 2
    assert "names no case" in capsys.readouterr().err
    assert main(["view", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'nowhere'}: does not exist; give the folder of a cohort\n"
