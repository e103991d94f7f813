"""Cases whose lesions miss what was requested: drawn anew a few times, then not made, and not tried again."""

from dataclasses import replace

import pytest

from medsmith.cases.cohort import Cohort
from medsmith.diffusion import Sampling
from medsmith.errors import FileError, SynthesisError
from medsmith.synthesis import Shard, join_shards, lesions_line, regenerate, synthesize
from medsmith.synthesis.checks.lesions import lesions_as_requested
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.missed import missed_line, read_missed
from narrowing import present
from synthesis_fakes import FakeMethod, FakeRequest, case_seed, contents, fingerprint, in_process, options, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")
DRAWN = FakeMethod({}).synthesize(FakeRequest(), 1, Sampling(solver="ddim", steps=1))
CAP = Limits().missed_attempts
NEVER = [case_seed(1, attempt) for attempt in range(CAP)]
"""Seeds of case 1: none of its attempts is as requested."""
AT_FIRST = [case_seed(2, 0)]
SIZES = sum(int(seed) % 2 for seed in NEVER)


def run_that_misses(folder, misses=(*NEVER, *AT_FIRST)):
    return write_run(folder / "run", misses=[*misses])


def test_a_lesion_that_misses_an_attribute_is_refused_by_its_name():
    verdicts = [{"attribute": name, "passed": name == "shape"} for name in ("size_mm", "shape", "density")]
    good = {"visible": True, "verdicts": verdicts[1:2]}
    facts = TrainingFacts(fingerprint())

    def checked(*lesions):
        return lesions_as_requested(replace(DRAWN, provenance={"lesions": lesions}), facts, Limits())

    result = checked(good, {"visible": True, "verdicts": verdicts}, {"visible": False})
    assert (result.outcome, result.value, result.about) == ("failed", 1.0, ("density", "size_mm"))
    assert (checked(good).outcome, checked(good).about) == ("passed", ())


def test_a_case_that_always_misses_is_not_made_and_the_others_are(tmp_path):
    run, out = run_that_misses(tmp_path), tmp_path / "out"
    with pytest.raises(SynthesisError) as caught:
        synthesize(run, out, count=4, options=in_process())
    sizes = f", size in {SIZES} attempt{'' if SIZES == 1 else 's'}" if SIZES else ""
    line = f"3 cases made, 1 not made: lesions missed density in 4 attempts{sizes}"
    assert caught.value.line == f"{out}: {line}; ask for something else, or keep such lesions: --keep-missed"
    assert caught.value.exit_code == 2
    made = Cohort.open(out)
    assert made.ids == ("fake_00000", "fake_00002", "fake_00003")
    record = present(made["fake_00002"].provenance)
    assert (record["attempt"], record["refused"]) == (1, {"lesions_as_requested": 1})
    assert record["limits"]["missed_attempts"] == CAP
    assert lesions_line(out).startswith("3 of 3 lesions as asked in every measured attribute, from 9 attempts")
    assert lesions_line(out).endswith(f"; visible, or asked to be isodense: 3. {line}.")
    refused = sorted(path.name for path in (out / "rejected").glob("fake_*"))
    assert refused == [f"fake_00001-{n}-lesions_as_requested.png" for n in range(CAP)] + [
        "fake_00002-0-lesions_as_requested.png"
    ]
    assert regenerate(out, "fake_00002", options=in_process())


def test_the_same_command_tries_none_of_them_again_and_a_larger_count_only_the_new(tmp_path, monkeypatch):
    run, out = run_that_misses(tmp_path), tmp_path / "out"
    with pytest.raises(SynthesisError) as first:
        synthesize(run, out, count=3, options=in_process())
    before = contents(out)
    seeds = []
    draw = FakeMethod.synthesize

    def noted(method, request, seed, sampling):
        seeds.append(str(seed))
        return draw(method, request, seed, sampling)

    monkeypatch.setattr(FakeMethod, "synthesize", noted)
    with pytest.raises(SynthesisError) as again:
        synthesize(run, out, count=3, options=in_process())
    assert (again.value.line, contents(out), seeds) == (first.value.line, before, [])
    with pytest.raises(SynthesisError, match="3 cases made, 1 not made"):
        synthesize(run, out, count=4, options=in_process())
    assert seeds == [case_seed(3)]


def test_the_folder_does_not_depend_on_the_workers(tmp_path):
    run = run_that_misses(tmp_path)
    for name, chosen in (("alone", in_process()), ("two", options())):
        with pytest.raises(SynthesisError, match="4 cases made, 1 not made"):
            synthesize(run, tmp_path / name, count=5, workers=2, options=chosen)
    assert contents(tmp_path / "alone") == contents(tmp_path / "two")
    assert read_missed(tmp_path / "two")["fake_00001"]["density"] == CAP


def test_where_no_case_is_made_all_are_tried_and_the_folder_is_free_again(tmp_path):
    first = [case_seed(index, attempt) for index in range(2) for attempt in range(2)]
    run, out = run_that_misses(tmp_path, first), tmp_path / "out"
    with pytest.raises(SynthesisError, match="0 cases made, 2 not made: lesions missed density in 4 attempts"):
        synthesize(run, out, count=2, options=in_process(limits=Limits(missed_attempts=2)))
    assert {path.name for path in out.iterdir()} == {"rejected"}
    assert synthesize(run, out, count=2, options=in_process()).count == 2


def test_a_case_that_is_not_made_is_none_of_the_joined_shards(tmp_path):
    run = run_that_misses(tmp_path)
    parts = [tmp_path / "part-1", tmp_path / "part-2"]
    synthesize(run, parts[0], count=3, options=in_process(shard=Shard(1, 2)))
    with pytest.raises(SynthesisError, match="0 cases made, 1 not made"):
        synthesize(run, parts[1], count=3, options=in_process(shard=Shard(2, 2)))
    with pytest.raises(SynthesisError, match="2 cases made, 1 not made"):
        synthesize(run, tmp_path / "whole", count=3, options=in_process())
    join_shards(parts, tmp_path / "joined")
    joined, whole = ({name: data for name, data in contents(tmp_path / folder).items() if "rejected" not in name}
                     for folder in ("joined", "whole"))  # fmt: skip
    assert joined == whole


def test_numbers_are_said_right():
    once = {"a": {"density": 1}}
    assert missed_line(1, once) == "1 case made, 1 not made: lesions missed density in 1 attempt"
    twice = {"a": {"density": 1, "ct_value_hu": 2}, "b": {"density": 4}}
    expected = "2 cases made, 2 not made: lesions missed density in 5 attempts, mean CT value in 2 attempts"
    assert missed_line(2, twice) == expected


def test_a_damaged_file_of_missed_cases_is_named(tmp_path):
    (tmp_path / "missed.json").write_text('{"cases": 3}')
    with pytest.raises(FileError, match=r"missed\.json: .*remove it; the same command tries its cases again"):
        read_missed(tmp_path)
