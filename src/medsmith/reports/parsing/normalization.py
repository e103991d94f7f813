"""Spelling variants of free text that are resolved before it is split into words."""

import math
import re
import unicodedata
from collections.abc import Callable
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
_FRACTION: Final = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])")
"""Between the digits and the fraction of "1\u00bd"."""
_EXPONENT: Final = re.compile(r"((?<=\d)[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]+)")
"""Raised digits after others: as plain ones they would make another number."""
_LENGTH: Final = r"(?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|inch(?:es)?)\b"
_NUMBER_WORDS: Final = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_WORDS: Final = {
    **dict.fromkeys(("half an", "half a"), "0.5"),
    "one and a half": "1.5",
    **dict.fromkeys(("an", "a"), "1"),
    **{word: str(number) for number, word in enumerate(_NUMBER_WORDS, start=1)},
    **dict(zip(("fifteen", "twenty", "thirty", "forty", "fifty"), ("15", "20", "30", "40", "50"), strict=True)),
}
"""Number words, the longest first, before a unit of length."""
_REPLACEMENTS: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    # "1 1/2 cm" is one length; "12/15 mm" are two.
    (
        re.compile(
            r"(?<![\d.,/])(?:(?P<whole>\d{1,2})[ -])?(?P<part>[1-7])"
            r"(?:\u2044|/(?=[2348]\s*-?\s*(?:cm|centimet|inch|\")))"
            r"(?P<parts>[2-8])(?![\d/])"
        ),
        lambda found: _decimal(found["whole"], found["part"], found["parts"]) or found[0],
    ),
    # "ten mm", "half an inch" are sizes, not numbers of lesions.
    (
        re.compile(rf"\b({'|'.join(_WORDS)})(?=\s?-?\s?{_LENGTH})", re.IGNORECASE),
        lambda found: _WORDS[found[1].lower()],
    ),
    # The numbers and bullets of a list, on lines of their own or not.
    (re.compile(r"(?:^|(?<=[.;\n]))[ \t]*(?:first|second|third|fourth)(?:ly)?[ \t]*[,:]", re.IGNORECASE), " "),
    (
        re.compile(
            r"\([1-9]\)[ \t]+|\([^()]*\)|(?:^|(?<=[\s;,.]))[1-9]\)[ \t]+|(?<=[.;])[ \t]+[1-9]\.[ \t]+(?=[\dA-Za-z])"
        ),
        lambda found: found[0] if found[0].startswith("(") and len(found[0].strip()) > 3 else "; ",
    ),
    (re.compile(r"(?:^[ \t]*|(?<=:)[ \t]+)(?:\d{1,2}[.)]|[-*\u2022])[ \t]+", re.MULTILINE), " "),
    # "2,5 cm" is a decimal; "12, 15 mm" is a list.
    (re.compile(r"(?<![\d.,])(\d{1,3}),(\d{1,2})(?=\s*-?\s*(?:mm|cm|x|by)\b)", re.IGNORECASE), r"\1.\2"),
    (re.compile(r"\b(seg|approx|ca|prev|diam|max|vs|incl|resp|rt|lt|st)\.(?=\s|\d|,)", re.IGNORECASE), r"\1"),
    (re.compile(r"\b(?:R|RT|Rt|rt)\b(?=[ -]+[A-Za-z])"), "right"),
    (re.compile(r"\b(?:L|LT|Lt|lt)\b(?=[ -]+[A-Za-z])"), "left"),
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
    (re.compile(r"\b\d{1,3}[- ]?(?:years?|yrs?|y)[- /]?(?:old|o)\b(?: ?[mf]\b)?", re.IGNORECASE), " "),
    (re.compile(r"\(?\b\d+:\d+\b(?:(?:,| and) \d+:\d+\b)*\)?"), " "),
    # Dates.
    (re.compile(rf"\b(?:{_MONTHS})\b\.?(?: \d{{1,2}},?)? (?:19|20)\d\d\b", re.IGNORECASE), " "),
    (re.compile(r"\b\d{1,2}[./-](?:\d{1,2}[./-])?(?:19|20)\d\d\b"), " "),
    (
        re.compile(
            r"\b(since|dated|in|to|with|from|of|ct|mri|study|exam) (?:19|20)\d\d\b(?!\.?\d|\s*(?:[mc]m|x|hu)\b)",
            re.IGNORECASE,
        ),
        r"\1",
    ),
    (re.compile(r"\b(in|at|of|involving) ([TC]\d{1,2})\b(?! vertebra)"), r"\1 \2 vertebra"),
    (re.compile(r"\bL([1-5])\b(?! vertebra)"), r"L\1 vertebra"),
    (re.compile(r"\bca ?\+\+", re.IGNORECASE), "calcification"),
    (re.compile(r"\bsusp(?:\.|\b)(?: (?:for|of)\b)?", re.IGNORECASE), "suspicious for"),
    (re.compile(r"\bsuspicious for ca\b(?!\.? ?\d)", re.IGNORECASE), "suspicious for cancer"),
    (re.compile(r"\bc/w\b", re.IGNORECASE), "consistent with"),
    (re.compile(r"\br/o\b", re.IGNORECASE), "rule out"),
    (re.compile(r"\bh/o\b", re.IGNORECASE), "history of"),
    (re.compile(r"\bs/p\b", re.IGNORECASE), "status post"),
    (re.compile(r"\bf(?:am)?hx?\b(?= of|:)", re.IGNORECASE), "family history"),
    (re.compile(r"\bpmhx?\b", re.IGNORECASE), "past medical history"),
    (re.compile(r"\bhx\b", re.IGNORECASE), "history"),
    (re.compile(r"\bf/u\b", re.IGNORECASE), "follow-up"),
    # A title on a line of its own.
    (re.compile(r":[ \t]*\n\s*"), ": "),
    # "?RCC" and "RCC?" are both a guess.
    (re.compile(r"(?:^|(?<=[\s(,;:]))\?+ ?(?=[A-Za-z])"), "possible "),
    (re.compile(r"(?<=[A-Za-z])\?+"), " suspected."),
    (re.compile(r"\bb/l\b|\bbilat\b\.?", re.IGNORECASE), "bilateral"),
    (re.compile(r"\bw/o\b", re.IGNORECASE), "without"),
    (re.compile(r"\bw/(?=\s)", re.IGNORECASE), "with"),
    (re.compile(r"(?<=\w) ?& ?(?=\w)"), " and "),
)


def _decimal(whole: str | None, part: str, parts: str) -> str:
    """The decimal number of a fraction below 1 in lowest terms, such as 1 1/2; "" for any other pair of numbers."""
    if int(part) >= int(parts) or math.gcd(int(part), int(parts)) > 1:
        return ""
    return f"{int(whole or 0) + int(part) / int(parts):.3g}"


def normalized(text: str) -> str:
    """A text with plain characters, decimal points, whole words for sides, and without references to images."""
    pieces = _EXPONENT.split(_FRACTION.sub(" ", text))
    plain = "".join(
        piece if number % 2 else unicodedata.normalize("NFKC", piece) for number, piece in enumerate(pieces)
    ).translate(_CHARACTERS)
    for pattern, replacement in _REPLACEMENTS:
        plain = pattern.sub(replacement, plain)
    return plain
