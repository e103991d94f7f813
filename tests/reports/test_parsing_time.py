"""The time of parsing does not grow with the square of the text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsmith.reports.parsing.lexicon import nearest_options
from medsmith.reports.parsing.phrases import match_phrases
from medsmith.reports.parsing.report import MAX_CHARACTERS, parse_report
from medsmith.reports.parsing.sentence import read_sentence

MOST_SECONDS = 6.0
"""Of a processor; each took half a minute where it grew with the square, or a search was made for every word."""


@pytest.mark.parametrize(
    "text",
    [
        "1" * MAX_CHARACTERS,
        "thickness " * (MAX_CHARACTERS // 10),
        " ".join(f"xyzzyq{number}abc" for number in range(1200)),
    ],
    ids=["digits", "names of attributes", "unknown words"],
)
def test_a_text_as_long_as_it_may_be_takes_seconds(text):
    started = time.process_time()
    parse_report(text)
    assert time.process_time() - started < MOST_SECONDS


def test_a_misspelled_word_among_many_is_still_named():
    assert nearest_options("xyzzyq sphericall contuor") == nearest_options("sphericall contuor") != ()


WORDS = ("no", "cyst", "12 mm", "liver", "adjacent to the spleen", "xyz", "uvw", ",", "and", "without", "calcification")


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.data())
def test_a_part_of_a_clause_has_what_lies_in_it(words, data):
    """By the plain definition: whole phrases, and the runs of other words, cut at the ends of the part."""
    clause = read_sentence(" ".join(words))
    cuts = [at for at in range(len(clause.tokens) + 1) if not any(p.first < at < p.end for p in clause.phrases)]
    first, end = sorted(data.draw(st.lists(st.sampled_from(cuts), min_size=2, max_size=2)))
    part = clause.part(first, end)

    def cut(runs):
        kept = ((max(run[0], first) - first, min(run[1], end) - first, *run[2:]) for run in runs)
        return tuple(run for run in kept if run[0] < run[1])

    assert part.phrases == tuple(p.moved(-first) for p in clause.phrases if first <= p.first and p.end <= end)
    assert (part.unmatched, part.aside) == (cut(clause.unmatched), cut(clause.aside))
    assert len(match_phrases(part.said)[0] if part.tokens else ()) <= end - first
