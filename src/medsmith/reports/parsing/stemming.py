"""Word stems: singular, in American spelling."""

import re


def stem(word: str) -> str:
    """The singular of a word in American spelling: "tumours" gives "tumor"."""
    word = word.replace("tumour", "tumor").replace("haem", "hem").replace("oesoph", "esoph").replace("centre", "center")
    if len(word) > 4 and word.endswith(("ies", "sses")):
        return f"{word[:-3]}y" if word.endswith("ies") else word[:-2]
    return word[:-1] if is_plural(word) and word.endswith("s") else word


def is_plural(word: str) -> bool:
    """Whether a word looks like a plural: "cysts", "metastases", "calculi"."""
    regular = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return regular or word in ("calculi", "foci")


def stems(phrase: str) -> tuple[str, ...]:
    """The stems of a phrase; hyphens and underscores separate words."""
    return tuple(stem(word) for word in re.findall(r"[a-z0-9]+", phrase.casefold()))
