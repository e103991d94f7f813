"""Scoring: the paper's table from result files, averages, agreement, and files that cannot be used."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from medsmith.cli import main
from medsmith.evaluation.reader_study import score_study
from medsmith.evaluation.reader_study.plan import REAL, SYNTHETIC
from medsmith.evaluation.reader_study.score_page import score_lines
from narrowing import present
from readings import make_key, write_result


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
    assert "90 decisions were made. For 80 % power a margin of 0.1 takes so many independent ones: " in said
    assert "288 for the AUC and 215 for the accuracy" in said
    needed = f"about {test.images_needed} images, both kinds together, for the accuracy"
    assert (needed if test.images_needed else "it cannot be reached for the accuracy with these readers") in said


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


def test_the_skill_in_pairs_is_that_of_a_forced_choice_in_json_and_on_the_page(tmp_path):
    key = make_key(tmp_path / "key.json", ["right"] * 40 + ["left"] * 40, mode="pairs")
    sides = ["right"] * 30 + ["left"] * 10 + ["right"] * 10 + ["left"] * 30
    ratings = [1 if side == "left" else 4 for side in sides]
    path = write_result(tmp_path / "r.json", key, ratings, calls=sides)
    score = score_study([path], tmp_path / "key.json", tmp_path)
    found = json.loads((tmp_path / "score.json").read_text())["readers"][0]["sensitivity"]
    skill = stats.norm.ppf(30.5 / 41) - stats.norm.ppf(10.5 / 41)
    assert found == pytest.approx(skill / np.sqrt(2))
    # The share of right pairs of an unbiased reader is that of an area under the curve: normal(d' / root 2).
    assert stats.norm.cdf(found / np.sqrt(2)) == pytest.approx(0.75, abs=0.01)
    assert f"{found:+.2f}" == "+0.93"
    assert [line.split()[-2] for line in score_lines(score)[1:3]] == ["+0.93", "+0.93"]


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
