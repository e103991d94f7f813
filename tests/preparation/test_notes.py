"""Notes of cases as lines, from notes written by hand."""

from medsmith.preparation.notes import note_lines, with_clipped

RECORD = "prepare.json"
COLOR = "stored in color, its channels are equal: read as gray"


def test_a_note_of_one_case_is_told_as_it_is():
    assert note_lines([f"images/a.png: {COLOR}"], 10, RECORD) == [f"note: images/a.png: {COLOR}"]


def test_the_same_note_of_many_cases_is_told_once_with_their_number_and_the_first():
    notes = [f"images/{name}.png: {COLOR}" for name in "abcde"]
    line = f"note, 5 times: {COLOR} (images/a.png, images/b.png, images/c.png and 2 more)"
    assert note_lines(notes, 10, RECORD) == [line]


def test_notes_that_differ_in_numbers_alone_are_told_by_the_first():
    notes = ["a: 3 voxels of 1.5 %", f"b: {COLOR}", "b: 12 voxels of -2 %", "c: 3 voxels of 7.25 %"]
    line = "note, 3 times with different numbers: a: 3 voxels of 1.5 % (likewise b, c)"
    assert note_lines(notes, 10, RECORD) == [line, f"note: b: {COLOR}"]


def test_notes_of_further_kinds_are_counted():
    notes = ["a: one", "b: one", "a: two", "c: three", "d: three"]
    assert note_lines(notes, 1, RECORD) == ["note, 2 times: one (a, b)", "and 3 more notes in prepare.json"]
    assert note_lines(notes[:3], 1, RECORD)[1:] == ["and 1 more note in prepare.json"]
    assert note_lines([], 1, RECORD) == []


def test_padding_that_is_stated_and_clipped_is_noted_once():
    stated = "a: padding of the value -3024 is in 130 of 618 voxels"
    clipped = "a: 130 voxels of padding (value -3024) were set to -1024 HU: usual in CT"
    assert with_clipped([stated, "a: other"], [clipped]) == ("a: other", clipped)
    within = "a: padding of the value -1000 is in 12 of 618 voxels"
    assert with_clipped([within], [clipped]) == (within, clipped)
    assert with_clipped([stated], []) == (stated,)
