"""The papers' tables in shape: declared consistently, judged by intervals, made by one command that continues."""

import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsmith import Cohort, bench, phantom
from medsmith.benchmarks import running
from medsmith.benchmarks.lesions import lesions_alone
from medsmith.benchmarks.page import bench_page, summary_lines
from medsmith.benchmarks.paper import Inputs
from medsmith.benchmarks.papers import PAPERS
from medsmith.benchmarks.result import REAL_ALONE, BenchResult, RowResult
from medsmith.benchmarks.rows import Bench, stem
from medsmith.benchmarks.scales import SCALES
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.downstream.result import GAIN, LOSS, NONE, WITHHELD
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.comparison import Comparison
from medsmith.evaluation.pages.page import render
from medsmith.methods import method_class
from medsmith.phantoms.families import FAMILIES
from medsmith.progress import NullProgress

PAPER = PAPERS["pig"]
FIDELITY, UTILITY = PAPER.tables


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 20, "test")


def row(name: str, low: float, high: float, measure: str = "fidelity") -> RowResult:
    value = estimate(low, high)
    if measure == "utility":
        return RowResult(name, dice={"R + S": value, "R": estimate(0.5, 0.6)}, gains={"R + S": value})
    return RowResult(name, {"an extractor": Comparison(value, estimate(1, 2), value, value)})


def result(*rows: RowResult) -> BenchResult:
    return BenchResult(PAPER, rows, {"scale": "cpu"})


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_every_row_has_a_generator_and_every_figure_a_row(paper):
    names = [row.name for row in paper.rows]
    assert len({stem(name) for name in names}) == len(names)
    assert {row.generator for row in paper.rows} == set(paper.generators)
    for table in paper.tables:
        assert paper.own in table.figures
        assert set(table.figures) <= set(names)
        learned = {row.name for row in paper.rows if row.labeled}
        assert table.measure == "fidelity" or set(table.figures) <= learned
    assert paper.phantoms in FAMILIES
    assert not paper.templates or paper.templates in FAMILIES


@pytest.mark.parametrize("paper", PAPERS.values(), ids=PAPERS)
def test_methods_exist_and_requests_are_valid_for_them(paper, tmp_path):
    cases = tmp_path / "cases"
    phantom("breast", cases, 1, size=32)
    inputs = Inputs(cases, cases, cases, tmp_path / "space.safetensors")
    for each in paper.rows:
        method = method_class(paper.generators[each.generator].method)
        method.Request.model_validate(each.request(inputs))


@pytest.mark.parametrize(
    ("own", "rival", "finding"),
    [
        ((10, 20), (30, 40), "holds"),
        ((30, 40), (10, 20), "is reversed"),
        ((10, 30), (30, 40), "cannot be told"),
        ((10, 50), (20, 30), "cannot be told"),
    ],
)
def test_an_order_holds_where_intervals_are_apart_and_agree_with_the_paper(own, rival, finding):
    found = result(row("DDPM", *rival), row("PIG", *own))
    (order,) = found.orders(FIDELITY)
    assert (order.rival, order.finding, order.published) == ("DDPM", finding, (15.88, 31.84))


def test_of_dice_more_is_better():
    found = result(row("SegGuidedDiff", 0.4, 0.5, "utility"), row("PIG", 0.6, 0.7, "utility"))
    findings = {order.rival: order.finding for order in found.orders(UTILITY)}
    assert findings == {
        "real cases alone": "cannot be told",
        "LDM with ControlNet": "was not measured",
        "SegGuidedDiff": "holds",
    }


@pytest.mark.parametrize(
    ("verdict", "finding"),
    [(GAIN, "holds"), (LOSS, "is reversed"), (NONE, "cannot be told"), (WITHHELD, "cannot be told")],
)
def test_against_real_cases_alone_the_verdict_on_the_paired_gain_decides(verdict, finding):
    found = result(replace(row("PIG", 0.6, 0.7, "utility"), verdicts={"R + S": verdict}))
    (order, *_) = found.orders(UTILITY)
    assert (order.rival, order.published, order.finding) == (REAL_ALONE, (60.54, 52.36), finding)
    line = f"real cases alone {finding} here (65.0 (60.0 to 70.0) against 55.0 (50.0 to 60.0))"
    assert line in summary_lines(found)[1]


def test_dice_of_networks_that_were_not_trained_long_enough_tells_no_order():
    rows = row("SegGuidedDiff", 0.4, 0.5, "utility"), row("PIG", 0.6, 0.7, "utility")
    found = result(*(replace(each, verdicts={"R + S": WITHHELD}) for each in rows))
    assert found.orders(UTILITY)[2].finding == "cannot be told"


def test_distances_of_different_n_tell_no_order():
    rival = row("DDPM", 30, 40)
    (compared,) = rival.distances.values()
    fewer = replace(rival, distances={"an extractor": replace(compared, whole=replace(compared.whole, n=19))})
    assert result(fewer, row("PIG", 10, 20)).orders(FIDELITY)[0].finding == "cannot be told"


def test_distances_of_different_n_do_not_stand_in_one_column():
    rival = row("DDPM", 30, 40)
    (compared,) = rival.distances.values()
    other = replace(
        compared, whole=replace(compared.whole, n=19), synthetic=replace(compared.synthetic, value=77.25, n=9)
    )
    mixed = result(replace(rival, distances={"an extractor": other}), row("PIG", 10, 20))
    assert summary_lines(mixed)[0].endswith("cannot be told here: distances of 20 and 19 cases cannot be compared.")
    page = bench_page(mixed, {})
    published = next(section for section in page.sections if section.title == FIDELITY.title)
    cells = {cells[0]: cells[2:4] for cells in published.tables[0].rows}
    assert cells["DDPM"] == ["", ""]
    assert cells["PIG"] == ["15 (10 to 20)", "20"]
    assert any("not comparable with the column: DDPM 35 (30 to 40) (n 19)." in line for line in published.sentences)
    distances = next(section for section in page.sections if section.title == "Distances")
    assert [[cells[0] for cells in table.rows] for table in distances.tables] == [["DDPM"], ["PIG"]]
    assert [table.caption.split(", ")[1] for table in distances.tables] == ["n = 9.", "n = 20."]

    alike = bench_page(result(rival, row("PIG", 10, 20)), {})
    together = next(section for section in alike.sections if section.title == "Distances")
    assert [[cells[0] for cells in table.rows] for table in together.tables] == [["DDPM", "PIG"]]
    assert "not comparable with the column" not in render(alike)


def test_dice_stands_in_per_cent_beside_the_paper_with_its_n():
    found = result(row("SegGuidedDiff", 0.4, 0.5, "utility"), row("PIG", 0.6, 0.7, "utility"))
    cells = re.sub(r"\s*<t[dh][^>]*>|</t[dh]>\s*", "|", render(bench_page(found, {})))
    assert re.search(r"PIG\|+60.54\|+65.0 \(60.0 to 70.0\)\|+20\|", cells)
    assert re.search(r"SegGuidedDiff\|+58.30\|", cells)
    assert re.search(r"real cases alone\|+52.36\|+55.0 \(50.0 to 60.0\)\|+20\|", cells)
    assert re.search(r"PIG\|+R \+ S\|+65.0 \(60.0 to 70.0\)\|+20\|+\+65.0 \(\+60.0 to \+70.0\)\|", cells)
    assert "holds here (65.0 (60.0 to 70.0) against 45.0 (40.0 to 50.0))" in summary_lines(found)[3]
    assert "Here: Fréchet distance by an extractor of all cases" in render(bench_page(result(row("PIG", 1, 2)), {}))


def test_the_page_puts_ours_beside_the_paper_and_says_what_was_not_made():
    found = result(row("DDPM", 30, 40), row("PIG", 10, 20), RowResult("copy-paste", missing="a <b>"))
    page = render(bench_page(found, {}))
    assert "31.84" in page
    assert "a &lt;b&gt;" in page
    assert "DDIM (31.54)" in page
    assert "cannot be compared with ours" in page
    assert "a gain includes what the other half taught them" in page
    assert "holds here (15 (10 to 20) against 35 (30 to 40))" in page


def test_a_trial_says_first_that_it_measures_no_method():
    found = result(row("DDPM", 30, 40), row("PIG", 10, 20))
    first, *others = summary_lines(replace(found, facts={"scale": "smoke"}))
    assert first.startswith("Scale smoke trains every row for a few steps")
    assert "that PIG is better than DDPM cannot be told here" in others[0]
    assert "that PIG is better than DDPM holds here" in summary_lines(found)[0]
    assert len(others) == len(summary_lines(found))


def test_lesions_become_one_label(tmp_path):
    source = phantom("liver-mr", tmp_path / "liver", 2, size=32)
    made = lesions_alone(source, tmp_path / "lesions", NullProgress())
    assert dict(made.label_names) == {"background": 0, "lesion": 1}
    tumor = source.label_names["tumor"]
    for id in source.ids:
        assert np.array_equal(made[id].require_labels() == 1, source[id].require_labels() == tumor)
    again = lesions_alone(source, tmp_path / "lesions", NullProgress())
    assert again.content_hash() == made.content_hash()


def test_a_cohort_without_lesions_is_refused(tmp_path):
    source = phantom("chest-healthy", tmp_path / "chest", 1, size=32)
    with pytest.raises(CohortError, match="one that names lesions"):
        lesions_alone(source, tmp_path / "lesions", NullProgress())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"paper": "gan"}, "paper gan: unknown"),
        ({"paper": "pig", "scale": "huge"}, "scale huge: unknown"),
        ({"paper": "pig", "real": "here"}, "give both"),
    ],
)
def test_what_cannot_be_run_is_refused_and_leaves_nothing(arguments, words, tmp_path):
    with pytest.raises(RequestError, match=re.escape(words)):
        bench(**arguments, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cohorts_that_no_row_can_be_made_of_are_refused_before_anything_is_made(tmp_path):
    slices, volumes = (phantom(name, tmp_path / name, 1, size=32) for name in ("breast", "liver-mr"))
    empty = Cohort.create(tmp_path / "empty", channel_names=("x",), label_names={"background": 0}, file_ending=".png")
    whole = volumes[volumes.ids[0]]
    names = {"background": 0, "liver": 1}
    livers = Cohort.create(
        tmp_path / "livers", channel_names=whole.channel_names, label_names=names, file_ending=".nii.gz"
    )
    livers.write(replace(whole, labels=np.minimum(whole.require_labels(), 1), label_names=names, provenance=None))
    livers.finish()
    for paper, real, test, line in (
        ("pig", volumes, volumes, "liver-mr: is 3-D; the images of 'pig' are 2-D"),
        ("lldm", volumes, slices, "breast: is 2-D; the images of 'lldm' are 3-D"),
        ("lldm", volumes, livers, f"livers: other channels or labels than {volumes.root}"),
        ("pig", empty, slices, "empty: no cases; labeled cases"),
        ("pig", slices, slices, "breast: 1 case; at least 8 to test on"),
        ("lesiondiffusion", livers, livers, "one that names lesions, such as lesion, tumor or cyst"),
    ):
        with pytest.raises(CohortError, match=re.escape(line)):
            bench(paper, tmp_path / "out", real=Cohort.open(real.root), test=Cohort.open(test.root))
        assert not (tmp_path / "out").exists()


def test_two_calls_into_one_folder_are_refused(tmp_path, monkeypatch):
    def second(*_given):
        with pytest.raises(CohortError, match="another process is writing here"):
            bench("pig", tmp_path / "out")
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_inputs", second)
    with pytest.raises(KeyboardInterrupt):
        bench("pig", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["settings.json"]


def test_one_folder_takes_one_paper_scale_and_set_of_cohorts(tmp_path, monkeypatch):
    def interrupted(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_inputs", interrupted)
    real, other = (phantom("breast", tmp_path / f"real-{seed}", 8, seed=seed, size=32) for seed in (0, 1))
    test = phantom("breast", tmp_path / "test", 8, seed=2, size=32)
    out, first = tmp_path / "out", dict[str, Any](paper="pig", real=real, test=test)
    renamed = [_renamed(each, tmp_path / f"renamed-{each.root.name}") for each in (real, test)]
    with pytest.raises(KeyboardInterrupt):
        bench(**first, out=out)
    settings = (out / "settings.json").read_bytes()
    for change, named in (
        ({"paper": "mddpm"}, "paper"),
        ({"scale": "cpu"}, "scale"),
        ({"test": other}, "test cases"),
        (
            {"real": None, "test": None},
            "test cases, test labels and channels, train cases, train labels and channels",
        ),
        ({"real": renamed[0], "test": renamed[1]}, "test labels and channels, train labels and channels"),
    ):
        with pytest.raises(RunError, match=re.escape(f"{out}: holds results of other settings ({named})")):
            bench(**{**first, **change}, out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"settings.json": settings}
    with pytest.raises(KeyboardInterrupt):
        bench(**first, out=out)


def _renamed(cohort, root):
    """The same files, whose lesions are called otherwise."""
    path = shutil.copytree(cohort.root, root) / "dataset.json"
    path.write_text(path.read_text().replace('"lesion"', '"cyst"'))
    assert Cohort.open(root).content_hash() == cohort.content_hash()
    return Cohort.open(root)


def test_a_folder_of_something_else_gets_no_tables(tmp_path):
    cohort = phantom("breast", tmp_path / "mine", 1, size=32)
    files = sorted(cohort.root.rglob("*"))
    found = "mine: holds something else (no settings.json); tables have a folder of their own; choose another"
    with pytest.raises(RunError, match=re.escape(found)):
        bench("pig", cohort.root)
    assert sorted(cohort.root.rglob("*")) == files


def test_cohorts_that_share_an_image_or_lack_labels_are_refused_before_anything_is_made(tmp_path):
    real = phantom("breast", tmp_path / "real", 8, size=32)
    test = Cohort.create(
        tmp_path / "test",
        channel_names=real.channel_names,
        label_names=real.label_names,
        file_ending=real.file_ending,
    )
    for case in phantom("breast", tmp_path / "others", 8, seed=1, size=32):
        test.write(replace(case, provenance=None))
    test.write(replace(real[real.ids[3]], id="copy", provenance=None))
    test.finish()
    for given, line in (
        (real, "test cohort: 8 test images are among the training ones (breast-00000 is breast-00000); no image in"),
        (Cohort.open(test.root), "test cohort: 1 test image is among the training ones (copy is breast-00003)"),
    ):
        with pytest.raises(CohortError, match=re.escape(line)):
            bench("pig", tmp_path / "out", real=real, test=given)
    with pytest.raises(CohortError, match=re.escape("real: 4 of the 8 cases of its folder; bench takes whole folders")):
        bench("pig", tmp_path / "out", real=real.subset(real.ids[:4]), test=Cohort.open(test.root))
    for path in (test.root / "labelsTr").glob("copy*"):
        path.unlink()
    with pytest.raises(CohortError, match=re.escape("test: 1 of 9 cases have no labels")):
        bench("pig", tmp_path / "out", real=real, test=Cohort.open(test.root))
    assert not (tmp_path / "out").exists()


def test_lesions_of_another_cohort_with_the_same_names_are_not_kept(tmp_path):
    inputs = Inputs(tmp_path, tmp_path, tmp_path, tmp_path)
    rows = Bench(PAPERS["lesiondiffusion"], SCALES["smoke"], tmp_path / "out", inputs, NullProgress(), print)
    for seed in (0, 1):
        source = phantom("liver-mr", tmp_path / f"liver-{seed}", 1, seed=seed, size=32)
        made = rows._learned_from("test", source.root)
        (id,) = made.ids
        assert np.array_equal(made[id].require_image(), source[id].require_image())


@pytest.mark.parametrize(
    ("paper", "generator", "words"),
    [
        ("pig", "ddpm", "ddpm, preset tiny, 10 updates"),
        ("lldm", "vq", "lldm, preset tiny, image_autoencoder.codes=256, 2 updates in each of 5 stages"),
        ("lesiondiffusion", "lesiondiffusion", "lesiondiffusion, shipped weights, not trained here"),
        ("pig", "copypaste", "nothing is trained"),
    ],
)
def test_the_training_of_a_row_is_told_in_words(paper, generator, words, tmp_path):
    inputs = Inputs(tmp_path, tmp_path, tmp_path, tmp_path)
    rows = Bench(PAPERS[paper], SCALES["smoke"], tmp_path / "out", inputs, NullProgress(), print)
    assert rows._training(PAPERS[paper].generators[generator]) == words


def test_a_page_of_others_is_not_written_over(tmp_path, capsys):
    (tmp_path / "bench.html").write_text("mine")
    assert main(["bench", "pig", str(tmp_path)]) == 2
    assert "exists and is no earlier result" in capsys.readouterr().err
    assert (tmp_path / "bench.html").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_a_smoke_run_makes_every_row_and_continues_to_the_same_numbers(paper, tmp_path):
    first = bench(paper, tmp_path / "out")
    assert [each.row for each in first.rows] == [each.name for each in PAPERS[paper].rows]
    assert {each.row: each.missing for each in first.rows if each.missing} == {}
    assert all(each.distances for each in first.rows)
    assert all(bool(each.dice) == each_row.labeled for each, each_row in _with_rows(first.rows, paper))
    again = bench(paper, tmp_path / "out")
    assert [each.as_json() for each in again.rows] == [each.as_json() for each in first.rows]
    assert Cohort.open(tmp_path / "out" / "rows" / stem(first.rows[0].row)).ids
    assert "Synthetic research data" in Path(tmp_path / "out" / "bench.html").read_text()


def _with_rows(made, paper):
    return [(each, own) for each, own in product(made, PAPERS[paper].rows) if each.row == own.name]


def test_scales_grow():
    counts = [(scale.train, scale.updates, scale.count, scale.steps) for scale in SCALES.values()]
    assert counts == sorted(counts)
