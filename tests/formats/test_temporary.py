"""Folders of trials, which no message names."""

from pathlib import Path

import pytest

from medsmith.errors import CohortError, FileError, RunError, TrainingError
from medsmith.formats.temporary import temporary_folder


def fail(make):
    with temporary_folder("medsmith-", "pig on c") as place:
        error = make(place)
        error.add_note("a traceback")
        raise error


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place: TrainingError(f"{place}/run, step 1 of 'image'", "loss nan"), "pig on c, step 1 of 'image'"),
        (lambda place: RunError(place, "is damaged", cure="train anew"), "pig on c: is damaged; train anew"),
        (lambda place: FileError(place / "run" / "a.bin", "disk is full"), "temporary files in {}: disk is full"),
        (lambda _: CohortError("c", "no cases", "at least 1"), "c: no cases; at least 1"),
    ],
)
def test_an_error_about_the_folder_is_about_what_the_user_gave(make, said, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(type(make(tmp_path))) as found:
        fail(make)
    assert found.value.line.startswith(said.format(tmp_path))
    assert "medsmith-" not in found.value.line
    assert found.value.__notes__ == ["a traceback"]
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_there_and_then_gone():
    with temporary_folder("medsmith-", "this") as place:
        assert isinstance(place, Path)
        assert place.is_dir()
    assert not place.exists()
