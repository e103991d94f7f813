"""The requested and measured values of an inserted lesion in words, from its record in the provenance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, final

from medsmith.measurement.adherence import COUNTS_AS, IN_WORDS, NEEDED
from medsmith.reports.wording import density_words, place_words
from medsmith.synthesis.lesion_numbers import met_by, number_behind

NOT_ASKED: Final = "not asked"
NOT_MEASURED: Final = "not measured: the lesion is too small or the voxels are too coarse"
DRAWN: Final = "drawn by the rules"
_NOT_FOUND: Final = "none"
_RING: Final = "ring enhancement"
_WORDS: Final = ("shape", "density", "density_variation", "surface", "features", "cavity")
"""Attributes that are listed where they were measured and not requested."""
_MEASURED: Final = ("shape", "density", "density_variation", "surface")
"""Attributes of one word that most images show."""
Json = Mapping[str, Any]


@final
@dataclass(frozen=True)
class LesionValue:
    """One attribute of an inserted lesion.

    Attributes:
        attribute: its name for people.
        requested: the requested value, marked "drawn by the rules" if the request left it open; "not asked" if there is
            none.
        measured: the measured value, of a word with the number that decides it.
        met_by: every measured value that satisfies the request; empty if nobody asked for it.
        passed: whether the measured value is one of them; None if nobody asked for it.
    """

    attribute: str
    requested: str
    measured: str
    met_by: str
    passed: bool | None


def lesion_values(lesion: Json) -> tuple[LesionValue, ...]:
    """What was requested of a lesion and measured, then what was measured and not requested.

    Args:
        lesion: its record in the provenance.
    """
    return (*_asked(lesion), *(_unmeasured(name, lesion) for name in unmeasured(lesion)), *_not_asked(lesion))


def unmeasured(lesion: Json) -> tuple[str, ...]:
    """Attributes that were asked for and could not be measured, so that no verdict tells of them.

    Such as a margin in coarse voxels, one without an edge that could be fitted, or spicules of a small lesion. Words
    that no image shows, and what the rules drew, are left out.

    Args:
        lesion: its record in the provenance.
    """
    return tuple(name for name in (*_MEASURED, "features") if _hidden(lesion, name))


def _hidden(lesion: Json, name: str) -> tuple[str, ...]:
    """The words of an attribute that were asked for and that no verdict tells of."""
    measured = lesion.get("measured") or {}
    judged = {each["requested"] for each in lesion.get("verdicts", ()) if each["attribute"] == name}
    if name in lesion.get("drawn", ()) or (judged and name != "features"):
        return ()
    words = (word for word in _listed(lesion["requested"].get(name)) if word in COUNTS_AS and word not in judged)
    return tuple(
        word for word in words if (word in NEEDED and measured) or (name in _MEASURED and not measured.get(name))
    )


def asked_verdicts(lesion: Json) -> tuple[Json, ...]:
    """The verdicts on what was asked for; those on what the rules of the lesion type drew count for nothing.

    Args:
        lesion: its record in the provenance.
    """
    drawn = lesion.get("drawn", ())
    return tuple(verdict for verdict in lesion.get("verdicts", ()) if verdict["attribute"] not in drawn)


def attribute_in_words(name: str) -> str:
    """The name of a measured attribute for people."""
    return IN_WORDS.get(name, name.replace("_", " "))


def said_density(report: Json) -> str | None:
    """The density of a report as it is said of its organ; None if it has none.

    Args:
        report: requested or measured, as in the provenance.
    """
    density = report.get("density")
    return None if density is None else density_words(density, report.get("organ"), report.get("size_mm"))


def _asked(lesion: Json) -> Iterator[LesionValue]:
    for verdict in lesion.get("verdicts", ()):
        name, requested, measured = (verdict[key] for key in ("attribute", "requested", "measured"))
        word = requested if name in ("features", "without") or requested == _RING else measured
        if name == "features":
            measured = requested if verdict["passed"] else _NOT_FOUND
        elif name == "without":
            measured = measured or _NOT_FOUND
        said = partial(_said, name, lesion)
        organ = (lesion.get("measured") or {}).get("organ") or lesion["requested"].get("organ")
        value = LesionValue(
            attribute_in_words(name),
            _text(said(requested)),
            _with_number(_text(said(measured)), name, word, lesion),
            met_by(name, requested, organ, said),
            verdict["passed"],
        )
        drawn = name in lesion.get("drawn", ())
        yield replace(value, requested=f"{value.requested} ({DRAWN})", met_by="", passed=None) if drawn else value


def _unmeasured(name: str, lesion: Json) -> LesionValue:
    requested = ", ".join(str(_said(name, lesion, word)) for word in _hidden(lesion, name))
    return LesionValue(attribute_in_words(name), requested, NOT_MEASURED, "", None)


def _not_asked(lesion: Json) -> Iterator[LesionValue]:
    requested, measured = lesion["requested"], lesion.get("measured") or {}
    denied = [verdict["requested"] for verdict in lesion.get("verdicts", ()) if verdict["attribute"] == "without"]
    judged = {verdict["attribute"] for verdict in lesion.get("verdicts", ())} - {"features"}
    for name in _WORDS:
        wanted = _listed(requested.get(name))
        if name in judged or (wanted and name != "features"):
            continue
        for word in _listed(measured.get(name)):
            if word not in (*wanted, *denied):
                said = _with_number(_said(name, lesion, word), name, word, lesion)
                yield LesionValue(attribute_in_words(name), NOT_ASKED, said, "", None)


def _said(name: str, lesion: Json, value: Any) -> Any:
    """The value of an attribute as it is said of the lesion's organ."""
    return _WORDS_OF_ORGAN[name](value, lesion) if name in _WORDS_OF_ORGAN else value


def _with_number(said: str, name: str, word: Any, lesion: Json) -> str:
    number = number_behind(name, word, lesion.get("measured") or {}) if isinstance(word, str) else ""
    return f"{said} ({number})" if number else said


def _density(word: str, lesion: Json) -> str:
    report = lesion.get("measured") or lesion["requested"]
    return density_words(word, report.get("organ"), report.get("size_mm"))


def _place(word: str, lesion: Json) -> str:
    report = lesion.get("measured") or lesion["requested"]
    return place_words(word, report.get("organ") or lesion["requested"].get("organ"))


_WORDS_OF_ORGAN: Final = MappingProxyType({"density": _density, "cavity": _place})
"""Attributes whose values are said in the words of the organ."""


def _listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _text(value: Any) -> str:
    """Edges in mm, a float in HU, else the value as it is."""
    if isinstance(value, list):
        return " x ".join(f"{float(edge):.0f}" for edge in value) + " mm"
    return f"{value:.0f} HU" if isinstance(value, float) else str(value)
