"""Scoring: the paper's table from result files, averages, agreement, and files that cannot be used."""

import json
import re

import numpy as np
import pytest

from medsmith.cli import main
from medsmith.errors import FileError, MedsmithError
from medsmith.evaluation.reader_study import score_study
from medsmith.evaluation.reader_study.key import StudyKey, read_key
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC
from medsmith.evaluation.reader_study.results import checksum
from medsmith.evaluation.reader_study.score_page import score_lines
from medsmith.formats.lock import hold_output
from narrowing import present
from readings import write_result

pytestmark = pytest.mark.usefixtures("no_fsync")
OBSERVER = {
    "auc": {"value": 0.81, "low": 0.62, "high": 0.92, "n": 30, "interval": "DeLong, logit"},
    "description": "logistic regression",
    "roc": [[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]],
    "tested": [8, 8],
    "trained": [7, 7],
    "warning": "; simple image statistics alone tell the two kinds apart",
}


def make_key(path, answers, *, mode="single", repeats=(), margin=0.1):
    """A key with these answers, and repeats of some trials at the end."""
    trials = [{"answer": answer, "cases": [], "repeat_of": None} for answer in answers]
    swap = {"left": "right", "right": "left"}
    trials += [{"answer": swap.get(answers[i], answers[i]), "cases": [], "repeat_of": i} for i in repeats]
    sealed = {
        "cohorts": {kind: {"cases": 20, "content": "c0"} for kind in (REAL, SYNTHETIC)},
        "margin": margin,
        "medsmith": "0",
        "mode": mode,
        "naive_observer": OBSERVER,
        "presentation": {"grid": "40 x 40"},
        "seed": 0,
        "trials": trials,
    }
    key = StudyKey("salt", sealed)
    key.write(path)
    return key


@pytest.fixture
def paper(tmp_path):
    """Table 1 (a): 15 real, 15 synthetic; the readers call 1, 1, 5 real and 0, 2, 1 synthetic images synthetic."""
    key = make_key(tmp_path / "key.json", [REAL] * 15 + [SYNTHETIC] * 15)
    files = []
    for number, (alarms, hits) in enumerate(((1, 0), (1, 2), (5, 1)), 1):
        ratings = [4] * alarms + [2] * (15 - alarms) + [5] * hits + [1] * (15 - hits)
        files.append(write_result(tmp_path / f"r{number}.json", key, ratings, reader=f"Radiologist {number}"))
    return tmp_path, key, files


def test_the_table_of_the_paper(paper):
    folder, _, files = paper
    score = score_study(files, folder / "key.json", folder / "out")
    rows = [re.split(r"\s{2,}", line) for line in score_lines(score)[1:5]]
    assert [row[0] for row in rows] == ["Radiologist 1", "Radiologist 2", "Radiologist 3", "average"]
    values = [[cell.split(" %")[0] for cell in row[1:4]] for row in rows]
    assert values == [
        ["46.7", "6.7", "100.0"],
        ["53.3", "6.7", "86.7"],
        ["36.7", "33.3", "93.3"],
        ["45.6", "15.6", "93.3"],
    ]
    assert rows[0][1] == "46.7 % (28 to 66)"
    assert [row[6] for row in rows[:3]] == ["+1.59", "+1.16", "+0.86"]


def test_the_paper_s_conclusion_is_not_shown_by_its_numbers(paper):
    folder, _, files = paper
    score = score_study(files, folder / "key.json", folder / "out")
    test = score.tests["accuracy"]
    assert not test.equivalent
    assert not test.different
    assert test.verdict.startswith("undecided")
    assert present(score.accuracy).value == pytest.approx(0.4556, abs=1e-4)
    said = " ".join(score_lines(score))
    assert "90 decisions were made. For 80 % power a margin of 0.1 takes 215 independent ones" in said
    assert f"about {test.decisions_needed} for the accuracy" in said


def test_the_report_has_every_number_and_asks_nobody(paper):
    folder, key, files = paper
    score = score_study(files, folder / "key.json", folder / "out")
    found = json.loads((folder / "out" / "score.json").read_text())
    assert found["average"]["auc"]["value"] == pytest.approx(present(score.auc).value)
    assert found["average"]["auc"]["interval"].startswith("Obuchowski-Rockette")
    assert found["equivalence"]["AUC"]["margin_declared"] == 0.1
    assert found["naive_observer"]["auc"]["value"] == 0.81
    assert found["key_hash"] == key.hash
    page = (folder / "out" / "score.html").read_text()
    assert "not for diagnosis" in page
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r"https?://", page)
    assert "simple image statistics alone tell the two kinds apart" in page
    score_study(files[::-1], folder / "key.json", folder / "again")
    for name in ("score.json", "score.html"):
        assert (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes()


def test_repeats_are_for_agreement_alone(tmp_path):
    key = make_key(tmp_path / "key.json", [REAL, SYNTHETIC] * 5, repeats=(0, 1, 2, 3))
    ratings = [1, 5] * 5 + [1, 5, 1, 1]  # the last repeat is answered otherwise
    score = score_study([write_result(tmp_path / "r.json", key, ratings)], tmp_path / "key.json", tmp_path)
    (reader,) = score.readers
    assert (reader.decisions.accuracy.value, reader.decisions.accuracy.n) == (1.0, 10)
    assert (present(reader.consistency).same.value, present(reader.consistency).same.n) == (0.75, 4)
    assert present(reader.consistency).kappa == pytest.approx(0.5)
    assert any("one reader" in note for note in score.notes)


def test_a_call_after_cannot_tell_counts_and_the_rating_is_a_tie(tmp_path):
    key = make_key(tmp_path / "key.json", [REAL] * 5 + [SYNTHETIC] * 5)
    calls = [REAL] * 4 + [SYNTHETIC] * 6
    path = write_result(tmp_path / "r.json", key, [3] * 10, calls=calls)
    (reader,) = score_study([path], tmp_path / "key.json", tmp_path).readers
    assert reader.decisions.correct == 9
    assert present(reader.auc).value == 0.5


def test_pairs_are_scored_by_the_right_side(tmp_path):
    rng = np.random.default_rng(0)
    answers = [str(side) for side in rng.choice(["left", "right"], 60)]
    key = make_key(tmp_path / "key.json", answers, mode="pairs", repeats=(0, 1))
    files = []
    for number in range(3):
        sides = [a if rng.random() < 0.8 else {"left": "right", "right": "left"}[a] for a in answers]
        sides += [{"left": "right", "right": "left"}[sides[i]] for i in (0, 1)]
        ratings = [1 if side == "left" else 4 for side in sides]
        files.append(write_result(tmp_path / f"{number}.json", key, ratings, reader=str(number), calls=sides))
    score = score_study(files, tmp_path / "key.json", tmp_path)
    assert score.auc is None
    assert list(score.tests) == ["share of right pairs"]
    assert 0.7 < present(score.accuracy).value < 0.9
    assert score.tests["share of right pairs"].different
    assert present(score.readers[0].consistency).same.value == 1.0  # the same image, although it changed sides
    assert score_lines(score)[0].split()[:3] == ["reader", "right", "pairs"]


def test_incomplete_files_are_scored_and_named(tmp_path):
    key = make_key(tmp_path / "key.json", [REAL, SYNTHETIC] * 10)
    whole = write_result(tmp_path / "a.json", key, [2, 4] * 10, reader="Ann")
    part = write_result(tmp_path / "b.json", key, [2, 4] * 6, reader="Bo")
    score = score_study([whole, part], tmp_path / "key.json", tmp_path)
    assert "Bo answered 12 of 20 trials" in score.notes
    assert "averages leave out 8 images that not every reader read" in score.notes
    assert present(score.auc).cases == 12
    assert score.readers[0].decisions.accuracy.n == 20


def test_a_margin_chosen_later_is_flagged(paper):
    folder, _, files = paper
    score = score_study(files, folder / "key.json", folder / "out", margin=0.2)
    assert any("the margin 0.2 was chosen after the study was created" in note for note in score.notes)
    assert json.loads((folder / "out" / "score.json").read_text())["equivalence"]["AUC"][
        "margin_changed_after_creation"
    ]
    assert not score_study(files, folder / "key.json", folder / "out", margin=0.1).notes


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
        (put("margin", 0.7), "sealed: margin = 0.7; must be less than 0.5"),
        (put("mode", "triples"), "sealed: mode = \"triples\"; must be 'single' or 'pairs'"),
        (put("mode", "pairs"), "trial 0 of mode pairs has the answer 'real'"),
        (put("trials", []), "sealed: trials = []; must have 1 entries or more"),
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


@pytest.mark.parametrize("margin", ["nan", "inf", "0", "0.5", "-1"])
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


@pytest.mark.parametrize("name", ["$\\frac$", "a $ b", "_ann", "$x$ $", "\\$"])
def test_names_are_no_mathematics(tmp_path, name):
    key = make_key(tmp_path / "key.json", [REAL, SYNTHETIC] * 5)
    path = write_result(tmp_path / "r.json", key, [2, 4] * 5, reader=name)
    (reader,) = score_study([path], tmp_path / "key.json", tmp_path).readers
    assert reader.name == name


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_reader_who_hardly_began_is_scored(tmp_path, count):
    key = make_key(tmp_path / "key.json", [REAL, REAL, SYNTHETIC] * 4)
    path = write_result(tmp_path / "r.json", key, [2] * count)
    (reader,) = score_study([path], tmp_path / "key.json", tmp_path).readers
    assert reader.decisions.signals + reader.decisions.others == count


def test_names_cannot_command_the_terminal(tmp_path):
    key = make_key(tmp_path / "key.json", [REAL, SYNTHETIC] * 5)
    path = write_result(tmp_path / "r.json", key, [2, 4] * 5, reader="\x1b[31mAnn <b>")
    score = score_study([path], tmp_path / "key.json", tmp_path)
    assert score_lines(score)[1].startswith("?[31mAnn <b>")
    assert "?[31mAnn &lt;b&gt;" in (tmp_path / "score.html").read_text()


def test_the_command_finds_the_key_beside_the_files(paper, capsys):
    folder, _, files = paper
    with pytest.raises(SystemExit) as ended:
        main(["turing-score", *map(str, files)])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "Radiologist 1  46.7 % (28 to 66)  6.7 % (0 to 32)" in said
    assert "no evidence that there is none" in said
    assert (folder / "score.html").exists()
    assert main(["turing-score", str(files[0]), "--key", "nowhere.json"]) == 2
    assert "nowhere.json: does not exist" in capsys.readouterr().err
