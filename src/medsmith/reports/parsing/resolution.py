"""The organ and the type of a lesion, from everything that was said of it."""

from typing import Final

from medsmith.reports.organs import ORGANS, members_of
from medsmith.reports.parsing.draft import Draft
from medsmith.reports.parsing.filler import KIDNEY_PARTS, LUNG_PARTS
from medsmith.reports.parsing.sentence import NEIGHBOR
from medsmith.reports.parsing.stemming import stems
from medsmith.reports.parsing.terms import BROADER_NOUNS
from medsmith.reports.parsing.unplaced import KIND_WITHOUT_ORGAN, NO_ORGAN, NOT_UNDERSTOOD, ONLY_NEAR, Unplaced
from medsmith.reports.rules import LESION_TYPES, ORGAN_SPECIFIC_OPTIONS, types_of
from medsmith.reports.wording import organ_words

_SIDES: Final = ("left", "right")
_FLUID: Final = "hypodense fluid-like"
_NO_CALCIUM: Final = "'{said}' is read as {feature}: no calcification is made; for a dense lesion say its CT value"
_PARTS: Final = "a report does not tell parts of an organ apart"
_NO_PARTS: Final = "of which a report tells no parts apart"
_AMBIGUOUS: Final = frozenset(stems(part) for part in (*LUNG_PARTS, *KIDNEY_PARTS))


def resolve_organ(draft: Draft, context: str | None) -> None:
    """Sets the most specific organ named, with its side.

    Args:
        draft: of the lesion.
        context: organ of another lesion of the sentence, used if none is named or implied.
    """
    organ = _named_organ(draft)
    by_part: set[str] = set()
    if organ is None:
        implied = list(dict.fromkeys(value for value, _ in draft.of("implied")))
        organ = _narrowest(implied)
        by_part = {said for _, said in draft.of("implied")} if organ else set()
        for other in implied if organ is None else ():
            draft.unplaced.append(Unplaced(other, reason="a second organ of the same lesion"))
    context = _beside(context, draft)
    if organ is None and context is not None:
        organ = context
        draft.notes.append(f"the organ is taken from the lesion beside it: {context}")
    organ = _with_side(organ, draft)
    if organ is not None:
        draft.values["organ"] = organ
    _place_parts(organ, by_part, draft)


def _read_as(part: str, organ: str) -> str:
    """The note on a part that stands for its organ; other organs have some of them as well ("apical", "pole")."""
    unnamed = "no organ is named: " if stems(part) in _AMBIGUOUS else ""
    return f"{unnamed}'{part}' is read as the {organ_words(organ)}, {_NO_PARTS}"


def _place_parts(organ: str | None, by_part: set[str], draft: Draft) -> None:
    """Sets parts of the organ and neighbors aside; without an organ, they are where a report cannot put a lesion."""
    parts = [said for name in ("part", "header") for _, said in draft.of(name)]
    if organ is None:
        draft.unplaced += [Unplaced(said, reason=NO_ORGAN) for said in parts]
        draft.unplaced += [Unplaced(said, reason=ONLY_NEAR) for said in draft.landmarks]
        return
    parts = [said for _, said in draft.of("part")]
    draft.notes += [_read_as(said, organ) for said in parts if said in by_part]
    draft.set_aside += [Unplaced(said, reason=_PARTS) for said in parts if said not in by_part]
    draft.set_aside += [Unplaced(said, reason=NEIGHBOR) for said in draft.landmarks]


def _beside(organ: str | None, draft: Draft) -> str | None:
    """The organ of the lesion beside this one; of a pair, if a side is named; None if the organ has no such side."""
    sides = [value for value, _ in draft.of("side")]
    if organ is None or not sides:
        return organ
    pair = organ.removesuffix("_left").removesuffix("_right")
    return pair if f"{pair}_{sides[0]}" in ORGANS else None


def _named_organ(draft: Draft) -> str | None:
    organ: str | None = None
    for named, said in draft.of("organ"):
        both = named if organ is None else _narrowest([organ, named])
        if both is None:
            draft.unplaced.append(Unplaced(said, (organ,) if organ else (), "a second organ of the same lesion"))
        organ = both or organ
    return organ


def _narrowest(organs: list[str]) -> str | None:
    """The organ that is in all of them ("lung_right" and "lung_upper_lobe"); None if there is not one."""
    for organ in organs:
        if all(organ in members_of(other) for other in organs):
            return organ
    shared = [name for name in ORGANS if organs and all(name in members_of(other) for other in organs)]
    return shared[0] if len(shared) == 1 else None


def _with_side(organ: str | None, draft: Draft) -> str | None:
    for side in dict.fromkeys(value for value, _ in draft.of("side")):
        if f"{organ}_{side}" in ORGANS:
            organ = f"{organ}_{side}"
        elif organ is None:
            draft.unplaced.append(Unplaced(side, reason=NO_ORGAN))
        elif organ.endswith(_SIDES) and not organ.endswith(side):
            draft.unplaced.append(Unplaced(side, (organ,), "a second side of the same lesion"))
        elif not organ.endswith(side):
            draft.set_aside.append(
                Unplaced(side, (), f"a report does not tell the sides of the {organ_words(organ)} apart")
            )
    return organ


def resolve_type(draft: Draft) -> None:
    """Sets the lesion type by the noun and the organ; a kind without a type in the organ becomes attributes."""
    named = draft.of("kind")
    if not named:
        return
    kind, said = named[0]
    for other, words in named[1:]:
        if other != kind:
            draft.unplaced.append(Unplaced(words, (said,), "a second type of the same lesion"))
    organ = draft.values.get("organ")
    of_kind = tuple(row.name for row in LESION_TYPES.values() if row.kind == kind)
    fitting = types_of(organ, kind) if organ else of_kind
    unknown = any(item.reason == NOT_UNDERSTOOD for item in draft.unplaced)
    if len(fitting) == 1 and (organ or not unknown):
        _set_type(fitting[0], said, draft)
    elif organ is None:
        draft.unplaced.append(Unplaced(said, of_kind, KIND_WITHOUT_ORGAN))
    else:
        _describe_kind(kind, said, organ, draft)


def _set_type(lesion_type: str, said: str, draft: Draft) -> None:
    """Sets the type, and notes what was assumed: a type narrower than its noun, and an organ that was not named."""
    draft.values["lesion_type"] = lesion_type
    if " ".join(stems(said)) in BROADER_NOUNS:
        draft.notes.append(f"'{said}' is read as {lesion_type}, the only type of tumor in this organ")
    if "organ" not in draft.values:
        draft.values["organ"] = LESION_TYPES[lesion_type].organ
        draft.notes.append(
            f"no organ is named: {draft.values['organ']} is taken, the only one with a type for '{said}'"
        )


def resolve_calcification(draft: Draft) -> None:
    """Leaves out that a stone is calcified: it is dense throughout, not in areas. Of other lesions areas are noted."""
    kind = draft.values.get("lesion_type")
    if kind is None or LESION_TYPES[kind].kind != "stone":
        draft.notes += [_NO_CALCIUM.format(said=said, feature=feature) for feature, said in draft.of("calcified")]
        return
    for feature, said in draft.of("calcified"):
        draft.values["features"] = tuple(each for each in draft.values["features"] if each != feature)
        draft.notes.append(f"'{said}' is left out: a stone is dense throughout, not in areas")


def resolve_consistency(draft: Draft) -> None:
    """Sets the density of a lesion that is called solid, unless another is named or the rules of its type have none."""
    kind = draft.values.get("lesion_type")
    for density, said in draft.of("consistency"):
        if kind is None or density in {appearance.density for appearance in LESION_TYPES[kind].appearances}:
            draft.values.setdefault("density", density)
        elif "density" not in draft.values:
            draft.notes.append(f"'{said}' tells no density of {kind}: it is left open")


def _describe_kind(kind: str, said: str, organ: str, draft: Draft) -> None:
    """Describes a kind of lesion that has no type in the organ, as far as the options go."""
    if kind == "stone" and organ not in ORGAN_SPECIFIC_OPTIONS["stone"]:
        organs = tuple(dict.fromkeys(row.organ for row in LESION_TYPES.values() if row.kind == kind))
        draft.unplaced.append(Unplaced(said, organs, f"there are no stones in {organ}"))
        return
    found: list[str] = []
    if kind == "stone":
        density = draft.values.get("density", "hyperdense")
        if density != "hyperdense":
            draft.unplaced.append(
                Unplaced(f"{density} {said}", ("hyperdense",), "stones are hyperdense", impossible=True)
            )
        draft.values["features"] = tuple(dict.fromkeys((*draft.values.get("features", ()), "stone")))
        found.append("stone")
    if kind == "cyst":
        draft.values["shape"] = tuple(dict.fromkeys((*draft.values.get("shape", ()), "cystic")))
        found += ["cystic", draft.values.setdefault("density", _FLUID)]
    described = f" ({', '.join(found)})" if found else ""
    draft.notes.append(f"there are no rules for '{said}' in {organ}: a lesion without a type{described}")
