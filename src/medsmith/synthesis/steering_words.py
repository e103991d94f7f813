"""What pages call guides, and how they state how well an image follows them."""

from collections.abc import Mapping, Sequence

from medsmith.data.fingerprint import Fingerprint

_NAMES = {"guides": "texture", "pathologies": "lesion"}


def guide_name(key: str) -> str:
    """What a page calls a guide: "anatomy", "texture 1" for the key ``guides.0``, "lesion 1" for ``pathologies.0``."""
    kind, _, number = key.partition(".")
    return f"{_NAMES[kind]} {int(number) + 1}" if number else kind


def gray_unit(facts: Fingerprint) -> str:
    """Unit of gray values: "HU", or "" where they have none."""
    return "HU" if facts.is_hounsfield else ""


def adherence_lines(found: Mapping[str, float], errors: Sequence[str], guides: Sequence[str], unit: str) -> list[str]:
    """One line per error, one with every Dice if there is any, one per lesion.

    Args:
        found: as ``measure_adherence`` names it.
        errors: keys of the guides whose error is stated.
        guides: keys of all guides of the case; the contrast of every lesion among them is stated.
        unit: of gray values; "" if they have none.
    """
    lines = [f"error of {guide_name(key)}: {_written(found.get(f'error {key}'), '.1%')}" for key in errors]
    dice = [f"{name.removeprefix('Dice ')} {found[name]:.2f}" for name in sorted(found) if name.startswith("Dice ")]
    if dice:
        lines.append(f"Dice: {', '.join(dice)}")
    for key in guides:
        if key.startswith("pathologies."):
            own, wanted = (_written(found.get(f"{name} {key}"), ".0f", unit) for name in ("contrast", "guide contrast"))
            lines.append(f"contrast of {guide_name(key)}: {own}; in its guide: {wanted}")
    return lines


def _written(value: float | None, form: str, unit: str = "") -> str:
    return "not measured" if value is None else f"{value:{form}} {unit}".rstrip()
