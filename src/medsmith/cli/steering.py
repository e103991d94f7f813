"""Options of ``synthesize`` and ``sweep`` that name guidance images, as entries of a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, final

import typer

from medsmith.cli.app import all_numbers

AnatomyOption = Annotated[
    Path | None, typer.Option(help="Shape space to sample the anatomy of each image from (mddpm).")
]
TextureOption = Annotated[
    list[str] | None, typer.Option(help="Case whose texture guides: COHORT/CASE, or COHORT for any. Repeatable.")
]
PathologyOption = Annotated[
    list[str] | None,
    typer.Option(help="Case whose lesion is transplanted: COHORT/CASE, or COHORT. Repeatable."),
]
AtOption = Annotated[
    list[str] | None,
    typer.Option(help="Center of the lesion as X,Y, shares of the displayed image from left and top; one for each."),
]
ScaleOption = Annotated[list[float] | None, typer.Option(help="Scale of the lesion; one for each --pathology.")]
RotateOption = Annotated[list[float] | None, typer.Option(help="Rotation of the lesion in degrees; likewise.")]
WithinOption = Annotated[
    str | None, typer.Option(help="Class of the anatomy that must hold the lesions, such as lung; needs --anatomy.")
]
LesionLabelOption = Annotated[
    str | None,
    typer.Option(
        help="Label of the lesions in the cases of --pathology; may be omitted where it is the only one, or the only "
        "one that is no class of --anatomy."
    ),
]
_NAME_CASES = "name the cases with --pathology"


@final
@dataclass(frozen=True)
class SteeringOptions:
    """Values of the options that steer; None or empty where one was not given."""

    anatomy: Path | None = None
    texture: Sequence[str] | None = None
    pathology: Sequence[str] | None = None
    at: Sequence[str] | None = None
    scale: Sequence[float] | None = None
    rotate: Sequence[float] | None = None
    within: str | None = None
    lesion_label: str | None = None

    def entries(self, request: dict[str, Any]) -> dict[str, Any]:
        """Entries of a request that these options set; settings of the same guides in the request are kept.

        Args:
            request: from the request file.

        Raises:
            RequestError: an option has a value for no lesion, or a value that cannot be read.
        """
        found: dict[str, Any] = {}
        if self.anatomy is not None:
            stored = request.get("anatomy")
            found["anatomy"] = {**(stored if isinstance(stored, dict) else {}), "space": str(self.anatomy)}
        if self.texture:
            named = [{"image": case_entry("--texture", text)} for text in self.texture]
            found["guides"] = _merged(request.get("guides"), named)
        common = self.within is not None or self.lesion_label is not None
        if common or self.pathology or self.at or self.scale or self.rotate:
            found["pathologies"] = _merged(request.get("pathologies"), self._lesions(request))
        return found

    def _lesions(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        from medsmith.errors import RequestError

        stored = request.get("pathologies")
        count = len(self.pathology or ()) or (len(stored) if isinstance(stored, list) else 0)
        for option, common in (("--within", self.within), ("--lesion-label", self.lesion_label)):
            if common is not None and not count:
                raise RequestError(option, f"'{common}' for no lesion", "lesions are transplanted", _NAME_CASES)
        lesions: list[dict[str, Any]] = [{} for _ in range(count)]
        given: dict[str, tuple[str, Sequence[Any]]] = {
            "case": ("--pathology", [case_entry("--pathology", text) for text in self.pathology or ()]),
            "at": ("--at", [list(all_numbers("--at", text)) for text in self.at or ()]),
            "scale": ("--scale", self.scale or ()),
            "rotate": ("--rotate", self.rotate or ()),
        }
        for key, (option, values) in given.items():
            if not values:
                continue
            if len(values) != count:
                fact = f"given {len(values)} times for {count} lesions"
                cure = _NAME_CASES if len(values) > count else f"give {option} {count} times"
                raise RequestError(option, fact, "one for each --pathology", cure)
            for lesion, value in zip(lesions, values, strict=True):
                lesion[key] = value
        for lesion in lesions:
            shared = {"within": self.within, "label": self.lesion_label}
            lesion.update({key: value for key, value in shared.items() if value is not None})
        return lesions


def _merged(stored: Any, given: list[dict[str, Any]]) -> list[Any]:
    """Entries of a list in the request file, each updated by the options for the one at the same place.

    Args:
        stored: the list; whatever else stands there the method refuses.
        given: entries from options.
    """
    before = list(stored) if isinstance(stored, list) else []
    merged: list[Any] = []
    for index in range(max(len(before), len(given))):
        old = before[index] if index < len(before) else {}
        new = given[index] if index < len(given) else None
        merged.append(old if new is None or not isinstance(old, dict) else {**old, **new})
    return merged


def case_entry(option: str, text: str) -> dict[str, str]:
    """The entry of a request for COHORT/CASE or COHORT.

    Raises:
        RequestError: the text is neither.
    """
    from medsmith.cases.nnunet_folder import DATASET
    from medsmith.errors import RequestError

    path = Path(text)
    if text and path.is_dir():
        return {"cohort": text}
    # A word alone is a case only of a cohort that is the working directory; else it is a folder that does not exist.
    alone = path.parent == Path() and not Path(DATASET).exists()
    if path.parent.is_dir() and path.parent != path and not alone:
        return {"cohort": str(path.parent), "case": path.name}
    raise RequestError(option, f"'{text}' is neither a cohort nor a case of one", cure="write COHORT/CASE or COHORT")
