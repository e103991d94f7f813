"""One report on distances, copies and utility."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medsmith import Cohort, SegmenterConfig, UtilityOptions, phantom
from medsmith.cli import main
from medsmith.errors import CohortError, RequestError, RunError
from medsmith.evaluation.adherence.label_fidelity import RealCases, label_fidelity
from medsmith.evaluation.downstream.result import GAIN, LOSS, NONE
from medsmith.evaluation.fidelity.bootstrap import Estimate
from medsmith.evaluation.fidelity.radiomics import Radiomics
from medsmith.evaluation.fidelity.realism import realism
from medsmith.evaluation.not_measured import NotMeasured
from medsmith.evaluation.overall import evaluate_all
from medsmith.evaluation.pages.overall_page import verdicts
from medsmith.evaluation.privacy import answer as privacy_answer
from medsmith.evaluation.privacy.chance import Chance
from medsmith.progress import NullProgress


def test_the_realism_score_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    # Distances to the third neighbor: 3, 2, 2, 3, 99; those of at most the median, 3, are kept: all but the last.
    found = realism(real, np.array([[1.5], [5.0], [100.0]]))
    np.testing.assert_allclose(found, [max(3 / 1.5, 2 / 0.5), max(3 / 5, 2 / 4, 2 / 3, 3 / 2), 3 / 97])


def test_realism_needs_neighbors():
    with pytest.raises(ValueError, match="3 real cases have no neighbor of rank 3"):
        realism(np.zeros((3, 1)), np.zeros((1, 1)))


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("overall")
    counts = {"train": (10, 0), "test": (9, 1), "synthetic": (10, 2)}
    return {name: phantom("breast", root / name, count, seed=seed, size=32) for name, (count, seed) in counts.items()}


def unlabeled(cohort, folder):
    """The same images with empty masks."""
    out = Cohort.create(
        folder, channel_names=cohort.channel_names, label_names=cohort.label_names, file_ending=cohort.file_ending
    )
    for case in cohort:
        out.write(replace(case, labels=np.zeros_like(case.labels)))
    out.finish()
    return out


def run(cohorts, out):
    options, config = UtilityOptions(cases=(0,), subsets=1, seeds=1), SegmenterConfig(steps=2, batch=2)
    real, synthetic, training = (cohorts[name] for name in ("test", "synthetic", "train"))
    chosen = [Radiomics()]
    return evaluate_all(real, synthetic, out, training=training, extractors=chosen, options=options, config=config)


@pytest.fixture(scope="module")
def report(cohorts, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return out, run(cohorts, out)


def test_the_page_answers_first_and_has_every_part(report):
    page = (report[0] / "evaluation.html").read_text()
    answers = [page.index(f"<li>{question}?") for question in ("Real enough", "Obedient", "Private", "Useful")]
    assert answers == sorted(answers)
    for title in ("Which are real?", "Best and worst", "What these data cannot show", "Which were real"):
        assert f"<h2>{title}</h2>" in page
        assert page.index(f"<h2>{title}</h2>") > answers[-1]
    assert "<h2>Useful: Every arm</h2>" in page
    assert "<h2>Private: Copies of whole images</h2>" in page
    assert "<h2>Obedient: label fidelity</h2>" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_record_holds_every_part(report):
    record = json.loads((report[0] / "evaluation.json").read_text())
    assert set(record) == {"warning", "evaluation", "label_fidelity", "privacy", "utility"}
    assert list(record["label_fidelity"]["structures"]) == ["lesion"]
    assert record["privacy"] == json.loads((report[0] / "privacy" / "privacy.json").read_text())
    assert record["utility"]["sizes"][0]["test_patients"] <= 9


@pytest.mark.slow
def test_the_same_call_continues_to_the_same_bytes(report, cohorts):
    out, before = report[0], (report[0] / "evaluation.html").read_bytes()
    run(cohorts, out)
    assert (out / "evaluation.html").read_bytes() == before


def test_a_cohort_of_label_maps_alone_has_a_report_that_says_why_no_network_was_trained(cohorts, tmp_path):
    def maps(name):
        cohort = cohorts[name]
        names, ending = cohort.label_names, cohort.file_ending
        out = Cohort.create(tmp_path / name, channel_names=(), label_names=names, file_ending=ending)
        for case in cohort:
            out.write(replace(case, image=None, channel_names=()))
        out.finish()
        return out

    real, synthetic, training = map(maps, ("test", "synthetic", "train"))
    found = evaluate_all(real, synthetic, tmp_path / "out", training=training)
    reason = "segmentation networks need image and labels of every case, and 10 of 10 training cases have no image"
    assert found.as_json()["utility"] == found.as_json()["label_fidelity"] == {"not_measured": reason}
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert f"<li>Obedient? Unknown: {reason}.</li>" in page
    assert f"<li>Useful? Unknown: {reason}.</li>" in page
    assert "<h2>Private: Copies of label maps</h2>" in page
    assert "<h2>Useful" not in page
    assert "<h2>Obedient" not in page


def test_labels_that_no_network_can_learn_together_are_refused_before_anything_is_measured(cohorts, tmp_path):
    other = phantom("chest", tmp_path / "other", 10, seed=3, size=32)
    with pytest.raises(CohortError, match="label_names"):
        evaluate_all(cohorts["test"], cohorts["synthetic"], tmp_path / "out", training=other)
    assert not (tmp_path / "out").exists()


def test_what_a_later_part_would_refuse_is_refused_before_anything_is_measured(cohorts, tmp_path):
    few = cohorts["train"].subset(cohorts["train"].ids[:3])
    with pytest.raises(CohortError, match="3 cases; at least 4; give a larger cohort"):
        evaluate_all(cohorts["test"], cohorts["synthetic"], tmp_path / "out", training=few)
    assert not (tmp_path / "out").exists()
    settings = tmp_path / "other" / "utility" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"grid edge": "24"}')
    with pytest.raises(
        RunError, match=r"utility: holds results of other settings \(grid edge, labels and channels, options, "
    ):
        run(cohorts, tmp_path / "other")
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file()] == [settings]


def test_options_that_no_network_can_be_trained_with_are_refused_before_anything_is_measured(cohorts, tmp_path):
    train = cohorts["train"]
    others = Cohort.create(
        tmp_path / "others",
        channel_names=train.channel_names,
        label_names=train.label_names,
        file_ending=train.file_ending,
    )
    for case in train:
        others.write(replace(case, id=case.id.replace("0", "x")))
    others.finish()
    for training, options, refusal in (
        (others, UtilityOptions(group=r"0(\d+)$"), "--group: .* does not match"),
        (train, UtilityOptions(size=20), "size: 20; a multiple of"),
        (train, UtilityOptions(cases=(4, 10)), "cases: 10; 10 real cases, the smallest patient or scene with 1"),
    ):
        with pytest.raises(RequestError, match=refusal):
            evaluate_all(cohorts["test"], cohorts["synthetic"], tmp_path / "out", training=training, options=options)
    assert not (tmp_path / "out").exists()


def test_everything_needs_the_training_cohort(cohorts, tmp_path, capsys):
    roots = [str(cohorts[name].root) for name in ("test", "synthetic")]
    assert main(["evaluate", *roots, "--out", str(tmp_path / "out"), "--all"]) == 2
    assert "no --training" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_options_of_utility_reach_the_networks(cohorts, tmp_path, monkeypatch):
    asked: dict[str, object] = {}

    def seen(*_cohorts, options, config, **_others):
        asked.update(options=options, config=config)
        raise KeyboardInterrupt

    monkeypatch.setattr("medsmith.evaluation.overall.evaluate_all", seen)
    roots = [str(cohorts[name].root) for name in ("test", "synthetic")]
    chosen = ["--cases", "3,0", "--subsets", "1", "--seeds", "1", "--group", r"(\d+)", "--network-size", "16"]
    call = ["evaluate", *roots, "--out", str(tmp_path / "out"), "--steps", "7", "--batch", "2", *chosen]
    with pytest.raises(SystemExit):
        main([*call, "--all", "--training", str(cohorts["train"].root)])
    assert asked["options"] == UtilityOptions(cases=(3, 0), subsets=1, seeds=1, group=r"(\d+)", size=16)
    assert asked["config"] == SegmenterConfig(steps=7, batch=2)


def test_the_patients_are_asked_for_without_networks_as_well(cohorts, tmp_path, monkeypatch, capsys):
    asked: dict[str, object] = {}

    def seen(*_cohorts, group, **_others):
        asked["group"] = group
        raise KeyboardInterrupt

    monkeypatch.setattr("medsmith.evaluation.evaluate", seen)
    call = ["evaluate", *(str(cohorts[name].root) for name in ("test", "synthetic")), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main([*call, "--group", r"(\d+)"])
    assert asked["group"] == r"(\d+)"
    assert main([*call, "--group", "(x)"]) == 2
    assert "--group: '(x)' does not match 9 ids" in capsys.readouterr().err


def test_options_of_networks_are_refused_where_none_is_trained(cohorts, tmp_path, capsys):
    roots = [str(cohorts[name].root) for name in ("test", "synthetic")]
    for option in ("--steps", "--network-size"):
        assert main(["evaluate", *roots, "--out", str(tmp_path / "out"), option, "16"]) == 2
        assert f"{option}: given without --all; networks are trained by --all alone; leave" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_synthetic_cohort_stays_as_it_is(report, cohorts):
    assert Cohort.open(cohorts["synthetic"].root).content_hash() == cohorts["synthetic"].content_hash()
    assert report[1].privacy.images is not None


@pytest.mark.parametrize(
    ("chance", "answer"),
    [
        (Chance.BEYOND, "Private? No: more near-copies than chance explains"),
        (Chance.UNTOLD, "Private? Unknown: there are near-copies, and too few real cases to tell"),
        (Chance.WITHIN, "Private? As far as was searched: no more near-copies than chance explains"),
    ],
)
def test_the_verdict_on_copies_is_that_of_the_test_against_chance(chance, answer, report, monkeypatch):
    monkeypatch.setattr(privacy_answer, "against_chance", lambda _flagged, _threshold: chance)
    found = report[1]
    assert verdicts(found.evaluation, found.labels, found.privacy, found.utility)[2].startswith(answer)


def test_the_verdict_on_obedience_is_that_of_the_segmenters(report, cohorts, tmp_path):
    found = report[1]
    (name, result), *_ = found.labels.structures.items()

    def said(labels):
        return verdicts(found.evaluation, labels, found.privacy, found.utility)[1]

    sure = {name: replace(result, auc=Estimate(0.99, 0.9, 1.0, 10, "by hand"), corrected=0.01)}
    numbers = f"Label '{name}': Dice {result.values[:, 1].mean():.3g} with its own map, "
    follows = "Obedient? Images follow their label maps, as far as segmenters can tell. "
    assert said(replace(found.labels, structures=sure)).startswith(follows + numbers)
    unsure = {name: replace(result, auc=Estimate(0.6, 0.4, 0.8, 10, "by hand"))}
    answer = f"Obedient? Not shown: what segmenters find does not depend on the map ({name}). "
    assert said(replace(found.labels, structures=unsure)).startswith(answer + numbers)
    few = cohorts["synthetic"].subset(cohorts["synthetic"].ids[:4])
    cases, into = (
        RealCases(cohorts["train"], cohorts["test"], SegmenterConfig(steps=2, batch=2)),
        (tmp_path / "kept", NullProgress()),
    )
    with pytest.raises(RequestError, match="no label is in 10 of the 4 synthetic cases; at least 10"):
        label_fidelity(few, cases, *into)
    for what, role in (("training", "train"), ("test", "test")):
        given = {each: cohorts[each] for each in ("train", "test")} | {role: unlabeled(cohorts[role], tmp_path / role)}
        with pytest.raises(RequestError, match=f"{role}: no {what} case has a label that 10 synthetic cases "):
            label_fidelity(cohorts["synthetic"], replace(cases, training=given["train"], test=given["test"]), *into)
    assert not (tmp_path / "kept").exists()
    assert said(NotMeasured("too few")) == "Obedient? Unknown: too few."


def test_cases_whose_membership_is_inferred_are_not_private(report, monkeypatch):
    found = report[1]
    (what, membership), *_ = found.privacy.membership.items()
    assert not membership.leaks
    assert "told from held-out ones" not in verdicts(found.evaluation, found.labels, found.privacy, found.utility)[2]
    leaking = {what: replace(membership, corrected=0.004)}
    monkeypatch.setattr(type(found.privacy), "membership", leaking)
    said = verdicts(found.evaluation, found.labels, found.privacy, found.utility)[2]
    assert said.startswith(f"Private? No: training cases are told from held-out ones by {what} (p = 0.004, AUC ")


def test_the_verdict_on_use_names_every_arm_with_a_gain_or_a_loss(report):
    found = report[1]
    (size,) = found.utility.sizes

    def said(**of_arms):
        arms = []
        for each in size.arms:
            low, high, verdict = of_arms.get(each.arm.name.replace(" ", ""), (-0.02, 0.02, NONE))
            gain = Estimate((low + high) / 2, low, high, 9, "by hand")
            dice = each.dice if each.dice.gain is None else replace(each.dice, gain=gain)
            arms.append(replace(each, measures={**each.measures, "dice": dice}, verdict=verdict))
        utility = replace(found.utility, sizes=(replace(size, arms=tuple(arms)),))
        return verdicts(found.evaluation, found.labels, found.privacy, utility)[3]

    arms = "R + S against strong augmentation of R alone (R real, S synthetic cases)"
    answer = f"{arms}, {size.name}: +0.0 points of Dice (-2.0 to +2.0)."
    assert said() == f"Useful? Not that this experiment can show: {answer}"
    losing = said(S=(-0.3, -0.1, LOSS), SthenR=(0.01, 0.03, GAIN))
    others = (
        f"a loss of S, {size.name}: -20.0 points of Dice (-30.0 to -10.0); a gain of S then R, {size.name}: +2.0 points"
    )
    assert losing.startswith(f"Useful? Not that this experiment can show: {answer} Of the other arms: {others}")
