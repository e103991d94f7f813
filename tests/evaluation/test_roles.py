"""Cohorts given in roles that do not fit: swapped, or synthetic in the place of a real one."""

import subprocess
import sys
from dataclasses import replace

import pytest

from medsmith import phantom
from medsmith.cases.cohort import Cohort
from medsmith.cli import main
from medsmith.errors import CohortError
from medsmith.evaluation.roles import check_roles, made_by, role_notes


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Phantoms; the same as real cases without provenance, as cases of a method, and as a mixture of both."""
    root = tmp_path_factory.mktemp("roles")
    phantoms = phantom("breast", root / "phantoms", 8, seed=0, size=32)
    made = {"synthetic": True, "method": "pig"}
    provenances = {"real": lambda _: None, "made": lambda _: made, "mixed": lambda n: made if n < 2 else None}
    found = {"phantoms": phantoms}
    for name, provenance in provenances.items():
        found[name] = Cohort.create(
            root / name,
            channel_names=phantoms.channel_names,
            label_names=phantoms.label_names,
            file_ending=phantoms.file_ending,
        )
        for number, case in enumerate(phantoms):
            found[name].write(replace(case, provenance=provenance(number)))
        found[name].finish()
    return found


def test_phantoms_stand_in_for_real_cases_and_count_as_none_that_were_made(cohorts):
    found = {name: dict(made_by(cohort)) for name, cohort in cohorts.items()}
    assert found == {"phantoms": {}, "real": {}, "made": {"pig": 8}, "mixed": {"pig": 2}}


@pytest.mark.parametrize("synthetic", ["real", "phantoms"])
def test_swapped_cohorts_are_refused(cohorts, synthetic):
    with pytest.raises(CohortError) as refused:
        check_roles({"real": cohorts["made"]}, cohorts[synthetic])
    assert refused.value.line == (
        f"{cohorts['made'].root}: is given as the real cohort and is synthetic (made by pig); "
        f"{cohorts[synthetic].root}, given as the synthetic one, is not; swap them"
    )


@pytest.mark.parametrize(
    ("real", "synthetic"), [("real", "made"), ("real", "real"), ("made", "made"), ("made", "mixed"), ("mixed", "real")]
)
def test_other_roles_are_taken(cohorts, real, synthetic):
    check_roles({"real": cohorts[real]}, cohorts[synthetic])


def test_synthetic_cases_in_the_place_of_real_ones_are_noted(cohorts):
    assert role_notes({"real": cohorts["real"], "test": cohorts["phantoms"]}) == ()
    found = role_notes({"real": cohorts["mixed"], "held-out": cohorts["made"]})
    assert [line.rpartition(":")[0] for line in found] == [
        "Caution: 2 of 8 real cases are synthetic themselves (made by pig)",
        "Caution: 8 of 8 held-out cases are synthetic themselves (made by pig)",
    ]


def test_the_commands_refuse_swapped_cohorts_and_write_nothing(cohorts, tmp_path, capsys):
    made, real, out = (str(each) for each in (cohorts["made"].root, cohorts["real"].root, tmp_path / "out"))
    calls = (
        ["evaluate", made, real, "--out", out],
        ["evaluate", made, real, "--out", out, "--all", "--training", real],
        ["utility", made, real, "--test", real, "--out", out],
        ["nnunet", made, real, "--test", real, "--out", out],
        ["privacy", real, "--training", made, "--out", out],
    )
    for call in calls:
        assert main(call) == 2, call
        said = capsys.readouterr().err
        assert said.count("\n") == 1, call
        assert "and is synthetic (made by pig); " in said, call
        assert said.endswith("given as the synthetic one, is not; swap them\n"), call
    assert not (tmp_path / "out").exists()


def test_wrong_cohorts_are_said_before_anything_heavy_is_loaded(cohorts, tmp_path):
    small, made = (str(each.root) for each in (phantom("breast", tmp_path / "s", 6, seed=1, size=32), cohorts["made"]))
    calls = {
        ("evaluate", small, made): "6 cases; at least 8",
        ("evaluate", small, made, "--all", "--training", made): "6 cases; at least 8",
        ("privacy", small, "--training", made, "--held-out", small): "as the held-out one",
    }
    code = "import sys; from medsmith.cli import main\nfor call in eval(sys.argv[1]): print(main(call))\n"
    code += "print([name for name in ('torch', 'monai', 'skimage', 'matplotlib') if name in sys.modules])"
    given = repr([[*call, "--out", str(tmp_path / "out")] for call in calls])
    done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, check=True)
    for line, words in zip(done.stderr.splitlines(), calls.values(), strict=True):
        assert words in line
    assert done.stdout.split("\n") == ["2", "2", "2", "[]", ""]
