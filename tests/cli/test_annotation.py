"""The command that runs the annotation loop: options that exclude each other."""

import pytest

from medsmith.cli import main


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--preset", "best"], "--preset"),
        (["--set", "size=[32,32]"], "--set"),
        (["--max-minutes", "3", "--set", "training.steps=5"], "--set, --max-minutes"),
    ],
)
def test_options_of_a_generator_that_is_not_trained_here_are_refused(tmp_path, capsys, words, option):
    folders = [str(tmp_path / name) for name in ("labeled", "unlabeled", "out")]
    assert main(["annotate", *folders, "--run", str(tmp_path / "run"), *words]) == 2
    expected = f"{option}: --run is given; that run is trained already; leave out one or the other\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "out").exists()
