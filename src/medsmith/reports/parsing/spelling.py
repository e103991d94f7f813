"""How many slips of the pen lie between two spellings."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_LEAST_LIKE: Final = 0.6
"""Least similarity, after Ratcliff and Obershelp, of what is compared letter by letter."""
_MOST_COMPARED: Final = 12


def slips(one: str, other: str) -> int:
    """Letters added, left out, replaced, or swapped with the next one (optimal string alignment distance)."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, against in enumerate(other, start=1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != against)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                row[j] = min(row[j], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


def most_slips(word: str) -> int:
    """The most slips that leave a word recognizable: none in three letters, one in up to seven, two in more."""
    return 0 if len(word) <= 3 else 1 if len(word) <= 7 else 2


def misspelled(word: str, known: Iterable[str]) -> list[str]:
    """The known words that a word may be a misspelling of, fewest slips first."""
    most = most_slips(word)
    as_long = [each for each in known if abs(len(each) - len(word)) <= most]  # the comparison is slow
    compared = get_close_matches(word, as_long, _MOST_COMPARED, _LEAST_LIKE)
    ranked = sorted((slips(word, each), number, each) for number, each in enumerate(compared))
    return [each for count, _, each in ranked if count <= most]
