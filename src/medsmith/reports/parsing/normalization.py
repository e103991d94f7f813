"""Spelling variants of free text that are resolved before it is split into words."""

import re
import unicodedata
from typing import Final

_CHARACTERS: Final = str.maketrans(
    {
        "×": "x",
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": ",",
        "≈": "~",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    }
)
_NUMERAL: Final = r"(?:viii|vii|vi|iv|v|iii|ii|i|[1-8])[ab]?"
_MONTHS: Final = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?"
)
_REPLACEMENTS: Final = (
    # The numbers and bullets of a list.
    (re.compile(r"(?:^[ \t]*|(?<=:)[ \t]+)(?:\d{1,2}[.)]|[-*\u2022])[ \t]+", re.MULTILINE), " "),
    # "2,5 cm" is a decimal; "12, 15 mm" is a list.
    (re.compile(r"(?<![\d.,])(\d{1,3}),(\d{1,2})(?=\s*-?\s*(?:mm|cm|x|by)\b)", re.IGNORECASE), r"\1.\2"),
    (re.compile(r"\b(seg|approx|ca|prev|diam|max|vs|incl|resp|rt|lt|st)\.(?=\s|\d|,)", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(?:R|RT|Rt|rt)\b(?=[ -]+[a-z])"), "right"),
    (re.compile(r"\b(?:L|LT|Lt|lt)\b(?=[ -]+[a-z])"), "left"),
    (
        re.compile(
            r"(?:^|(?<=[.;\n]))[ \t]*(?:findings?|impressions?|conclusions?)[ \t]*:", re.IGNORECASE | re.MULTILINE
        ),
        " ",
    ),
    # A place in the files, not in the patient.
    (
        re.compile(
            r"\(?\b(?:series|se|ser)\.? ?#?\d+\b[ ,;/]*(?:(?:images?|img|im|slice)\.? ?#?\d+)?\)?", re.IGNORECASE
        ),
        " ",
    ),
    (re.compile(r"\(?\b(?:images?|img|slice)\.? ?#?\d+(?:/\d+)?\b\)?(?!\s*[mc]m)", re.IGNORECASE), " "),
    # Of several segments the first stands for all: both are parts of the liver.
    (
        re.compile(
            rf"\b(seg(?:ment)?s?\s+{_NUMERAL})(?:\s*(?:/|-|,|and|&)\s*{_NUMERAL})+\b(?!\s*[mc]m|[.,]?\d|\s*x)",
            re.IGNORECASE,
        ),
        r"\1",
    ),
    (re.compile(r"(?<=[a-z])'s\b"), ""),
    (re.compile(r"\b\d{1,3}[- ]?(?:years?|yrs?|y)[- /]?(?:old|o)\b", re.IGNORECASE), " "),
    (re.compile(r"\(?\b\d+:\d+\b(?:(?:,| and) \d+:\d+\b)*\)?"), " "),
    # Dates.
    (re.compile(rf"\b(?:{_MONTHS})\b\.?(?: \d{{1,2}},?)? (?:19|20)\d\d\b", re.IGNORECASE), " "),
    (re.compile(r"\b\d{1,2}[./-](?:\d{1,2}[./-])?(?:19|20)\d\d\b"), " "),
    (re.compile(r"\b(since|dated|in|to|with) (?:19|20)\d\d\b(?!\.?\d|\s*(?:[mc]m|x|hu)\b)", re.IGNORECASE), r"\1"),
    (re.compile(r"\bc/w\b", re.IGNORECASE), "consistent with"),
    (re.compile(r"\bb/l\b|\bbilat\b\.?", re.IGNORECASE), "bilateral"),
    (re.compile(r"\bw/o\b", re.IGNORECASE), "without"),
    (re.compile(r"\bw/(?=\s)", re.IGNORECASE), "with"),
    (re.compile(r"(?<=\w) ?& ?(?=\w)"), " and "),
)


def normalized(text: str) -> str:
    """A text with plain characters, decimal points, whole words for sides, and without references to images."""
    plain = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    for pattern, replacement in _REPLACEMENTS:
        plain = pattern.sub(replacement, plain)
    return plain
