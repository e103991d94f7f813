"""Cases whose lesions miss what was requested: drawn anew a few times, then not made, and not tried again."""

import json
from dataclasses import replace

import pytest

from medsmith.cases.cohort import Cohort
from medsmith.diffusion import Sampling
from medsmith.errors import FileError, RequestError, SynthesisError
from medsmith.synthesis import Shard, join_shards, lesions_line, regenerate, synthesize, synthesize_shards, unpack
from medsmith.synthesis.checks.lesions import lesions_as_requested
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.checks.training import TrainingFacts
from medsmith.synthesis.missed import MissedCases, MissedValue, Misses, missed_line, read_missed, write_missed
from medsmith.synthesis.tar_shards.packing import pack
from narrowing import present
from synthesis_fakes import FakeMethod, FakeRequest, case_seed, contents, fingerprint, in_process, options, write_run

pytestmark = pytest.mark.usefixtures("no_fsync")
DRAWN = FakeMethod({}).synthesize(FakeRequest(), 1, Sampling(solver="ddim", steps=1))
CAP = Limits().missed_attempts
NEVER = [case_seed(1, attempt) for attempt in range(CAP)]
"""Seeds of case 1: none of its attempts is as requested."""
AT_FIRST = [case_seed(2, 0)]
SIZES = sum(int(seed) % 2 for seed in NEVER)
DENSITY = MissedValue(
    attribute="density", requested="hypodense", measured="isodense", met_by="hypodense or hypodense fluid-like"
)
SIZE = MissedValue(attribute="size", requested="9 x 9 x 9 mm", measured="5 x 5 x 5 mm", met_by="off by at most 15%")
CLOSEST = "density: hypodense asked, isodense measured"


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
    drawn = {"visible": True, "verdicts": verdicts, "drawn": ["density", "shape"]}
    assert (checked(drawn).value, checked(drawn).about) == (1.0, ("size_mm",))
    assert checked(drawn | {"drawn": ["density", "size_mm"]}).outcome == "passed"


def test_a_case_that_always_misses_is_not_made_and_the_others_are(tmp_path):
    run, out = run_that_misses(tmp_path), tmp_path / "out"
    with pytest.raises(SynthesisError) as caught:
        synthesize(run, out, count=4, options=in_process())
    sizes = f", size in {SIZES} attempt{'' if SIZES == 1 else 's'}" if SIZES else ""
    line = f"3 cases made, 1 not made: lesions missed density in 4 attempts{sizes} (the closest, fake_00001: {CLOSEST})"
    assert caught.value.line.startswith(f"{out}: {line}; ask for less or for something else")
    assert caught.value.line.endswith("or keep such lesions: --keep-missed")
    assert caught.value.exit_code == 2
    made = Cohort.open(out)
    assert made.ids == ("fake_00000", "fake_00002", "fake_00003")
    record = present(made["fake_00002"].provenance)
    assert (record["attempt"], record["refused"]) == (1, {"lesions_as_requested": 1})
    assert record["limits"]["missed_attempts"] == CAP
    assert lesions_line(out).startswith("3 of 3 lesions as asked in every measured attribute; visible")
    assert lesions_line(out).endswith(f"; visible: 3. {line}.")
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
    assert read_missed(tmp_path / "two")["fake_00001"].attempts["density"] == CAP


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


def test_a_report_of_one_case_that_no_template_takes_stops_none_of_the_others(tmp_path):
    run = write_run(tmp_path / "run", misses=[*NEVER], unplaced=[0, 3])
    for name, chosen in (("alone", in_process()), ("two", options())):
        out = tmp_path / name
        with pytest.raises(SynthesisError) as caught:
            synthesize(run, out, count=5, workers=2, options=chosen)
        assert "2 cases made, 3 not made: lesions missed density in 4 attempts" in caught.value.line
        why = "brightness: 2000.0; at most 1000"
        assert f"; no template can take the reports of 2 (the first, fake_00000: {why}); ask for" in caught.value.line
        assert Cohort.open(out).ids == ("fake_00002", "fake_00004")
        assert {id: misses.unplaced for id, misses in read_missed(out).items()} == {
            "fake_00000": why, "fake_00001": "", "fake_00003": why,
        }  # fmt: skip
    assert contents(tmp_path / "alone") == contents(tmp_path / "two")


def test_a_request_of_all_cases_that_cannot_be_met_stops_the_call(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(RequestError, match=r"^brightness: 2000\.0; at most 1000$"):
        synthesize(run, tmp_path / "out", count=3, request={"brightness": 2000.0}, options=in_process())


def as_shards(run, location, count, **changes):
    return synthesize_shards(run, location, count=count, options=replace(in_process(**changes), shard_cases=2))


def test_tar_shards_hold_the_cases_that_are_made_and_name_the_others(tmp_path):
    run, tars = run_that_misses(tmp_path), tmp_path / "tars"
    for _ in range(2):  # the second time nothing is made again
        with pytest.raises(SynthesisError, match="3 cases made, 1 not made: lesions missed density in 4") as caught:
            as_shards(run, tars, 4)
        assert caught.value.subject == str(tars)
    first, second = (json.loads((tars / f"fake-00000{number}.json").read_text()) for number in range(2))
    assert (first["cases"], list(first["missed"]), second["missed"]) == (["fake_00000"], ["fake_00001"], {})
    assert first["missed"]["fake_00001"]["attempts"]["density"] == CAP
    assert (tars / ".cases-1-of-1" / "rejected" / "fake_00001-0-lesions_as_requested.png").exists()
    with pytest.raises(SynthesisError) as plain:
        synthesize(run, tmp_path / "plain", count=4, options=in_process())
    assert caught.value.found == plain.value.found
    assert unpack(tars, tmp_path / "out").ids == ("fake_00000", "fake_00002", "fake_00003")
    expected = {name: data for name, data in contents(tmp_path / "plain").items() if "rejected" not in name}
    assert contents(tmp_path / "out") == expected


def test_pictures_of_missed_cases_stay_where_a_later_shard_cannot_be_written(tmp_path, monkeypatch):
    run, tars = run_that_misses(tmp_path), tmp_path / "tars"

    def full(storage, index, number, *given):
        if number == 1:
            raise FileError(storage.location, "cannot be written (No space left on device)")
        pack(storage, index, number, *given)

    monkeypatch.setattr("medsmith.synthesis.tar_shards.call.pack", full)
    with pytest.raises(FileError, match="No space left"):
        as_shards(run, tars, 3)
    monkeypatch.undo()
    with pytest.raises(SynthesisError, match="2 cases made, 1 not made"):
        as_shards(run, tars, 3)
    with pytest.raises(SynthesisError, match="2 cases made, 1 not made"):
        as_shards(run, tmp_path / "calm", 3)
    assert contents(tars) == contents(tmp_path / "calm")
    assert (tars / ".cases-1-of-1" / "rejected" / "fake_00001-0-lesions_as_requested.png").exists()


def test_a_tar_shard_without_any_case_that_is_made_is_whole(tmp_path):
    run, tars = run_that_misses(tmp_path, [case_seed(index) for index in range(2)]), tmp_path / "tars"
    with pytest.raises(SynthesisError, match="2 cases made, 2 not made: lesions missed density in 2 attempts"):
        as_shards(run, tars, 4, limits=Limits(missed_attempts=1))
    assert unpack(tars, tmp_path / "out").ids == ("fake_00002", "fake_00003")
    assert read_missed(tmp_path / "out").keys() == {"fake_00000", "fake_00001"}


def test_a_manifest_must_account_for_every_case_of_its_shard(tmp_path):
    run, tars = run_that_misses(tmp_path), tmp_path / "tars"
    with pytest.raises(SynthesisError, match="1 not made"):
        as_shards(run, tars, 2)
    path = tars / "fake-000000.json"
    path.write_text(path.read_text().replace("fake_00001", "fake_00007"))
    with pytest.raises(FileError, match=r"is of other cases than shards\.json names"):
        unpack(tars, tmp_path / "out")


def test_the_file_is_written_when_the_number_of_cases_has_doubled_and_at_the_end(tmp_path):
    missed, written = MissedCases(tmp_path), []
    for number in range(9):
        missed.add(f"fake_{number:05d}", Misses(attempts={"density": 1}))
        written.append(len(read_missed(tmp_path)))
    assert written == [1, 2, 2, 4, 4, 4, 4, 8, 8]
    missed.save()
    assert read_missed(tmp_path) == missed.cases == MissedCases(tmp_path).cases
    assert len(missed.cases) == 9


def test_numbers_are_said_right():
    once = {"a": Misses(attempts={"density": 1})}
    assert missed_line(1, once) == "1 case made, 1 not made: lesions missed density in 1 attempt"
    twice = {"a": Misses(attempts={"density": 1, "ct_value_hu": 2}), "b": Misses(attempts={"density": 4})}
    expected = "2 cases made, 2 not made: lesions missed density in 5 attempts, mean CT value in 2 attempts"
    assert missed_line(2, twice) == expected


def test_the_line_says_what_the_closest_attempt_of_all_cases_measured():
    both = Misses().after({"density": 1, "size_mm": 1}, (DENSITY, SIZE))
    nearer = both.after({"size_mm": 1}, (SIZE,)).after({"density": 1}, (DENSITY,)).after({}, ())
    assert nearer == Misses(attempts={"density": 2, "size_mm": 2}, closest=(SIZE,))
    assert missed_line(1, {"a": both}).endswith(
        f" (the closest, a: {CLOSEST}, size: 9 x 9 x 9 mm asked, 5 x 5 x 5 mm measured)"
    )
    assert missed_line(1, {"a": both, "b": nearer}).endswith(
        " (the closest, b: size: 9 x 9 x 9 mm asked, 5 x 5 x 5 mm measured)"
    )


def test_the_file_keeps_the_values_and_an_earlier_file_without_them_is_read(tmp_path):
    found = {"a": Misses().after({"density": 1}, (DENSITY,))}
    write_missed(tmp_path, found)
    assert read_missed(tmp_path) == found
    (tmp_path / "missed.json").write_text('{"format": 1, "cases": {"a": {"density": 4, "size_mm": 1}}}')
    assert read_missed(tmp_path) == {"a": Misses(attempts={"density": 4, "size_mm": 1})}


def test_a_damaged_file_of_missed_cases_is_named(tmp_path):
    (tmp_path / "missed.json").write_text('{"cases": 3}')
    with pytest.raises(FileError, match=r"missed\.json: .*remove it; the same command tries its cases again"):
        read_missed(tmp_path)
