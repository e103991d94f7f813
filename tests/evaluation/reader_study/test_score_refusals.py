"""Keys, result files and folders that a study cannot be scored with."""

import json
import re

import pytest

from medsmith.cli import main
from medsmith.errors import FileError, MedsmithError
from medsmith.evaluation.reader_study import score_study
from medsmith.evaluation.reader_study.key import StudyKey, read_key
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC
from medsmith.evaluation.reader_study.results import checksum
from medsmith.formats.lock import hold_output
from readings import make_key, write_result


def refused(files, key, out, said):
    with pytest.raises(MedsmithError, match=re.escape(said)) as raised:
        score_study(files, key, out)
    assert "\n" not in raised.value.line
    assert not (out / "score.json").exists()


def test_files_that_cannot_be_used_are_refused(paper):
    folder, key, files = paper
    out = folder / "out"
    key_path = folder / "key.json"
    other = make_key(folder / "other.json", [SYNTHETIC] * 15 + [REAL] * 15)
    refused(files, folder / "other.json", out, f"from study {key.study}, while")
    refused(files, folder / "missing.json", out, "does not exist")
    refused(files, files[0], out, "no key of a reader study")
    refused([key_path], key_path, out, "no result of a reader study")
    refused([], key_path, out, "none given; one per reader")
    refused([*files, files[0]], key_path, out, "reader 'Radiologist 1' has also")
    same = write_result(folder / "same.json", key, [1] * 30, reader="radiologist 2")
    refused([*files, same], key_path, out, "reader 'radiologist 2' has also")
    spaced = write_result(folder / "spaced.json", key, [1] * 30, reader=" Radiologist  2 ")
    refused([*files, spaced], key_path, out, "reader ' Radiologist  2 ' has also")
    foreign = write_result(folder / "foreign.json", other, [1] * 30)
    refused([*files, foreign], key_path, out, "give the key.json of that study: --key")
    empty = write_result(folder / "empty.json", key, [])
    refused([empty], key_path, out, "holds no answer")
    long = write_result(folder / "long.json", key, [1] * 31)
    refused([long], key_path, out, "answers are not those of trials")
    sides = write_result(folder / "sides.json", key, [1] * 30, calls=["left"] * 30)
    refused([sides], key_path, out, "calls other than real and synthetic")


def test_edited_files_are_refused(paper):
    folder, key, files = paper
    text = files[0].read_text()
    files[0].write_text(text.replace('"rating": 2', '"rating": 4', 1))
    refused(files, folder / "key.json", folder / "out", "changed after it was saved: its checksum does not fit")
    record = json.loads(text)
    record["answers"][0]["rating"] = 7
    record["checksum"] = checksum(record)
    files[0].write_text(json.dumps(record))
    refused(files, folder / "key.json", folder / "out", "answers.0.rating = 7; must be less than or equal to 5")
    assert read_key(folder / "key.json").hash == key.hash


@pytest.mark.parametrize("junk", [None, -1, "x", [], {}, [1], {"name": "Ann"}])
def test_any_other_value_in_a_field_is_refused_in_one_line(paper, junk):
    folder, _, files = paper
    record = json.loads(files[0].read_text())
    for field in record:
        changed = record | {field: junk}
        if field != "checksum":
            changed["checksum"] = checksum(changed)
        files[0].write_text(json.dumps(changed))
        text = (
            isinstance(junk, str)
            and isinstance(record[field], str)
            and field in ("started", "saved", "browser", "study")
        )
        if not (text or junk == record[field] or (field == "sessions" and junk == -1)):
            refused(files, folder / "key.json", folder / "out", str(files[0]))


def resealed(path, change):
    """The key with something changed in what is sealed, and a hash that fits."""
    record = json.loads(path.read_text())
    change(record["sealed"])
    key = StudyKey(record["salt"], record["sealed"])
    text = json.dumps({**record, "hash": key.hash})
    path.write_text(text)
    return key


def put(name, value):
    return lambda sealed: sealed.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("margin", "x"), 'sealed: margin = "x"; must be a valid number; give the key.json'),
        (put("margin", 0.7), "sealed: margin = 0.7; must be less than or equal to 0.499"),
        (put("margin", 1e-300), "sealed: margin = 1e-300; must be greater than or equal to 0.001"),
        (put("mode", "triples"), "sealed: mode = \"triples\"; must be 'single' or 'pairs'"),
        (put("mode", "pairs"), "trial 0 of mode pairs has the answer 'real'"),
        (put("trials", []), "sealed: trials = []; must have at least 1 entry"),
        (put("trials", 3), "sealed: trials = 3; must be a list"),
        (put("more", 1), "unknown key 'more'"),
        (put("cohorts", {"real": {"cases": 1, "content": "c"}}), "cohorts are 'real', not real and synthetic"),
        (lambda sealed: sealed.pop("naive_observer"), "'naive_observer' is missing"),
        (lambda sealed: sealed["naive_observer"].pop("roc"), "'naive_observer.roc' is missing"),
        (lambda sealed: sealed["naive_observer"]["auc"].update(value=None), "sealed: naive_observer.auc.value = null"),
        (lambda sealed: sealed["trials"][0].update(answer=1), "sealed: trials.0.answer = 1; must be 'real'"),
        (lambda sealed: sealed["trials"][0].update(repeat_of=0), "trial 0 repeats trial 0, which is no earlier first"),
        (lambda sealed: sealed["trials"][4].update(repeat_of=9), "trial 4 repeats trial 9, which is no earlier first"),
        (lambda sealed: sealed["trials"][0].pop("repeat_of"), "'trials.0.repeat_of' is missing"),
        (put("presentation", {"grid": 3}), "sealed: presentation.grid = 3; must be a valid string"),
    ],
)
def test_a_key_of_no_study_is_refused_in_one_line(paper, change, said):
    folder, _, files = paper
    resealed(folder / "key.json", change)
    with pytest.raises(FileError) as refusal:
        score_study(files, folder / "key.json", folder / "out")
    assert said in refusal.value.line
    assert refusal.value.line.startswith(f"{folder / 'key.json'}: ")
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "holds a JSON list; an object is expected"),
        ("3", "holds a JSON int"),
        ('{"format": NaN}', "NaN is no number of JSON"),
        (r'{"format": "\ud800"}', r"a text holds \ud800, half of a character"),
        ('{"a": ' * 150 + "1" + "}" * 150, "nested more than 100 deep"),
        ('{"a": ' * 100_000, "not JSON"),
        ("{}", "no "),
        ('{"format": {}}', "no "),
    ],
)
def test_odd_json_is_one_line(paper, capsys, text, said):
    folder, _, files = paper
    (folder / "odd.json").write_text(text)
    for arguments in ([str(folder / "odd.json")], [str(files[0]), "--key", str(folder / "odd.json")]):
        assert main(["turing-score", *arguments, "--out", str(folder / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{folder / 'odd.json'}: ")
        assert said in line
    assert not (folder / "out").exists()


@pytest.mark.parametrize("margin", ["nan", "inf", "0", "0.5", "-1", "1e-155"])
def test_a_margin_out_of_range_is_refused(paper, capsys, margin):
    folder, _, files = paper
    assert main(["turing-score", str(files[0]), "--margin", margin, "--out", str(folder / "out")]) == 2
    assert capsys.readouterr().err.startswith("--margin: ")
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reader": "x" * 10**6}, f'reader.name = "{"x" * 59}...; must have at most 200 characters'),
        ({"browser": "x" * 10**6}, f'browser = "{"x" * 59}...; must have at most 2000 characters'),
    ],
)
def test_long_texts_are_refused(paper, changes, said):
    folder, key, _ = paper
    path = write_result(folder / "long.json", key, [1] * 30, **changes)
    refused([path], folder / "key.json", folder / "out", said)


def test_huge_times_are_refused(paper):
    folder, _, files = paper
    record = json.loads(files[0].read_text())
    record["answers"][0]["windows"] = {"Full range": 10**400}
    record["checksum"] = checksum(record)
    files[0].write_text(json.dumps(record))
    refused(files, folder / "key.json", folder / "out", "answers.0.windows.Full range = 1000")


def test_nothing_that_is_read_is_overwritten(paper, capsys):
    folder, key, files = paper
    for name in ("score.json", "score.html"):
        mine = folder / name
        mine.write_bytes(files[0].read_bytes())
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert main(["turing-score", str(mine), str(files[1]), "--key", str(folder / "key.json")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        cure = "nothing that is read is overwritten; choose another folder: --out"
        assert line == f"{mine}: is one of the files to score; {cure}"
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        mine.unlink()
        mine.symlink_to(files[0])
        assert main(["turing-score", str(files[0]), "--key", str(folder / "key.json")]) == 2
        assert capsys.readouterr().err == f"{line}\n"
        mine.unlink()
    (folder / "key.json").rename(folder / "score.json")
    assert main(["turing-score", str(files[0]), "--key", str(folder / "score.json")]) == 2
    assert "is one of the files to score" in capsys.readouterr().err
    assert read_key(folder / "score.json").hash == key.hash


def test_only_a_score_of_this_study_is_written_over(paper):
    folder, _, files = paper
    out = folder / "out"
    score_study(files, folder / "key.json", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    score_study(files[:2], folder / "key.json", out)
    score_study(files, folder / "key.json", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    other = make_key(folder / "other.json", [SYNTHETIC] * 5 + [REAL] * 5)
    theirs = write_result(folder / "theirs.json", other, [1] * 10)
    for name in ("score.json", "score.html"):
        with pytest.raises(FileError, match=f"{name}: exists and is no score of study {other.study}; nothing is overw"):
            score_study([theirs], folder / "other.json", out)
        (out / name).rename(folder / f"kept-{name}")
    for name, text in (("score.json", "{}"), ("score.json", "x"), ("score.html", "<p>mine</p>")):
        (out / name).write_text(text)
        with pytest.raises(FileError, match=f"{name}: exists and is no score of study"):
            score_study(files, folder / "key.json", out)
        assert sorted(path.name for path in out.iterdir()) == [name]
        (out / name).unlink()


def test_a_folder_that_is_being_written_to_is_left_alone(paper):
    folder, _, files = paper
    with hold_output(folder / "out"):
        refused(files, folder / "key.json", folder / "out", "another process is writing here; one at a time")
