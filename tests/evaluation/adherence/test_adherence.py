"""The whole measure with a method whose obedience is known: verdicts, files, resuming, refusals."""

import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError
from medsmith.evaluation.adherence import AdherenceOptions, adherence, measuring, summary_lines
from medsmith.evaluation.adherence.label_cases import make_cases
from medsmith.evaluation.adherence.pairs import Maker
from medsmith.formats.atomic import temporary_name
from medsmith.formats.json_file import read_json
from medsmith.methods.attributes import Draw
from medsmith.progress import NullProgress
from obedient_method import Obedient

pytestmark = pytest.mark.usefixtures("no_fsync")
PAIRS = 12


@pytest.fixture
def method(monkeypatch):
    found = Obedient()
    monkeypatch.setattr(measuring, "load_method", lambda _run: found)
    return found


def measured(out, names, pairs=PAIRS, **given):
    options = AdherenceOptions(attributes=tuple(names), pairs=pairs, steps=40, batch=4)
    return adherence("pig", out, options=options, **given)


def test_each_attribute_has_the_verdict_that_it_deserves(method, tmp_path):
    found = measured(tmp_path / "out", ("obeyed", "ignored", "opposite", "graded"))
    results = {each.attribute.name: each.result for each in found.attributes}
    assert [result.verdict for result in results.values()] == ["controlled", "uncontrolled", "reversed", "controlled"]
    assert results["obeyed"].auc.value > 0.9
    assert results["obeyed"].difference.value == pytest.approx(0.2 * 127.5, abs=0.5)  # model space spans 255
    assert results["obeyed"].order is None
    assert results["graded"].order.value == 1
    assert method.made == PAIRS * (2 + 2 + 2 + 3)
    record = read_json(tmp_path / "out" / "adherence.json")
    assert record["warning"] == "Synthetic research data, not for diagnosis."
    assert record["attributes"]["opposite"]["verdict"] == "reversed"
    assert len(record["attributes"]["graded"]["values"]) == PAIRS
    page = (tmp_path / "out" / "adherence.html").read_text()
    assert page.count("<img") == 4 * 4
    assert "Ignored: uncontrolled (AUC" in page
    assert "Obeyed: controlled (AUC 1 (" in "\n".join(summary_lines(found))
    assert "enforced: added" in page


def test_the_same_call_reads_what_is_there_and_more_pairs_continue(method, tmp_path):
    out = tmp_path / "out"
    first = measured(out, ("obeyed",), 10)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    made = method.made
    for folder in (out, next((out / "pairs").iterdir())):  # of a call that was killed
        (folder / temporary_name(".png")).touch()
    measured(out, ("obeyed",), 10)
    assert method.made == made
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    options = AdherenceOptions(attributes=("obeyed",), pairs=10, seed=1)
    with pytest.raises(CohortError, match=r"other inputs or options \(adherence.json differs in seed\)"):
        adherence("pig", out, options=options)
    more = measured(out, ("obeyed",), 13)
    assert method.made == made + 3 * 2
    assert np.array_equal(more.attributes[0].pairs.values[:10], first.attributes[0].pairs.values)


def test_damaged_pairs_and_pictures_are_made_anew(method, tmp_path, caplog):
    out = tmp_path / "out"
    measured(out, ("obeyed",), 10)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    made, (folder,) = method.made, (out / "pairs").iterdir()
    (folder / "obeyed-0002.json").write_text('{"values": "x"}')
    (folder / "obeyed-0004.png").write_bytes(b"no picture")
    (folder / "obeyed-0005.png").unlink()
    measured(out, ("obeyed",), 10)
    assert method.made == made + 3 * 2
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    assert [message.split(": ")[0][-15:] for message in caplog.messages] == ["obeyed-0002.json"[1:], "obeyed-0004.png"]


def test_draws_that_do_not_show_the_property_are_passed_over_and_counted(method, tmp_path):
    (found,) = measured(tmp_path / "out", ("odd",)).attributes
    assert found.pairs.unmeasured > 0
    assert len(found.pairs.values) == PAIRS
    assert np.isfinite(found.pairs.values).all()
    assert method.made == 2 * (PAIRS + found.pairs.unmeasured)
    page = (tmp_path / "out" / "adherence.html").read_text()
    assert f"{found.pairs.unmeasured} draws were left out" in page


@pytest.mark.usefixtures("method")
def test_refusals_are_one_line(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RequestError, match=r"^attribute: no 'color'; obedient has obeyed, ignored, .*; name one of"):
        measured(out, ("color",))
    with pytest.raises(RequestError, match=r"'refused': no draw has a place for it; request: no room in draw 45"):
        measured(out, ("refused",))
    with pytest.raises(RequestError, match=r"^test: none given beside real; the label fidelity needs both"):
        measured(out, ("obeyed",), real=squares(tmp_path / "real", 4))
    assert not (out / "adherence.json").exists()


def test_a_method_that_declares_nothing_says_so(method, monkeypatch, tmp_path):
    monkeypatch.setattr(type(method), "attributes", lambda _self: ())
    with pytest.raises(RequestError, match=r"obedient declares no attribute; nothing to measure; give real and test"):
        measured(tmp_path / "out", ())


def squares(folder, count, seed=0):
    """Real cases: bright squares, as the method makes them where it follows its labels."""
    names = {"background": 0, "lesion": 1}
    cohort = Cohort.create(folder, channel_names=("gray",), label_names=names, file_ending=".png")
    maker, method = np.random.default_rng(seed), Obedient()
    for number in range(count):
        case = method.synthesize(method.Request(), int(maker.integers(2**60)), method.config.sampling)
        cohort.write(Case(f"r{number}", case.image, case.labels, case.geometry, ("gray",), names, np.dtype(np.uint8)))
    cohort.finish()
    return cohort


@pytest.mark.parametrize(("follows", "verdict"), [(True, "controlled"), (False, "uncontrolled")])
def test_a_segmenter_finds_the_labels_only_where_the_image_follows_them(method, tmp_path, follows, verdict):
    method.follows = follows
    real, test = squares(tmp_path / "real", 8), squares(tmp_path / "test", 6, seed=1)
    labels = measured(tmp_path / "out", ("obeyed",), 10, real=real, test=test).labels
    assert labels is not None
    assert labels.structures["lesion"].verdict == verdict
    assert labels.real["lesion"].value > 0.6
    other, own = labels.structures["lesion"].values.mean(axis=0)
    assert (own > 0.6) == follows
    assert other < 0.45
    (cohort,) = (tmp_path / "out").glob("pairs/*/labels-*/cases")
    assert len(Cohort.open(cohort)) == 10
    assert all(Cohort.open(cohort).is_synthetic(id) for id in Cohort.open(cohort).ids)
    made = method.made
    measured(tmp_path / "out", ("obeyed",), 10, real=real, test=test)
    assert method.made == made


def test_a_call_that_continues_says_as_well_which_labels_were_left_out(method, tmp_path):
    maker, names = Maker(method, tmp_path, 0, Draw(0)), {"background": 0, "organ": 1}
    said = []
    for count in (10, 10, 11):
        cases, notes = make_cases(maker, names, count, NullProgress())
        assert len(cases) == count
        said.append(notes)
    assert said == [("Labels that the real cases lack became background: lesion.",)] * 3
    assert method.made == 11


@pytest.mark.usefixtures("method")
def test_a_test_case_that_the_segmenter_learned_from_is_refused(tmp_path):
    real = squares(tmp_path / "real", 4)
    with pytest.raises(CohortError, match="r0"):
        measured(tmp_path / "out", ("obeyed",), 10, real=real, test=squares(tmp_path / "test", 4))


def test_the_command_measures_and_prints_the_verdicts(method, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match="0"):
        main(["adherence", "pig", str(out), "--attribute", "obeyed", "--pairs", "10", "-q"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Obeyed: controlled (AUC 1 (")
    assert said[-1] == f"report: {out / 'adherence.html'}"
    assert method.made == 20


@pytest.mark.usefixtures("method")
def test_a_mistake_at_the_command_is_one_line(tmp_path, capsys):
    assert main(["adherence", "pig", str(tmp_path / "out"), "--attribute", "color"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("attribute: no 'color'; obedient has obeyed, ignored, opposite, graded, ")
