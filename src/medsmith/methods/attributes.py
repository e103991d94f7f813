"""What a method can be asked for, and how the property is measured on the cases that it makes for the request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.cases.case import Case, Kind
from medsmith.cases.case_ref import CaseRef, candidate_ids


@final
@dataclass(frozen=True)
class Draw:
    """What all requests of one pair have in common.

    Attributes:
        number: of the draw, from 0.
        templates: folder of the cohort that the user named: scans, or label maps to follow; None without one.
        anatomy: file of a shape space; None without one.
        pathology: folder of a cohort of slices with lesions; None without one.
    """

    number: int
    templates: Path | None = None
    anatomy: Path | None = None
    pathology: Path | None = None

    def template(self, *needs: Kind) -> CaseRef | None:
        """The templates in turn; None without a cohort.

        Args:
            needs: what the case must have.

        Raises:
            RequestError: no case has it.
            MedsmithError: the cohort cannot be opened.
        """
        if self.templates is None:
            return None
        ids = candidate_ids(CaseRef(cohort=self.templates), *needs)
        return CaseRef(cohort=self.templates, case=ids[self.number % len(ids)])


@final
@dataclass(frozen=True)
class Focus:
    """What a picture of a case shows.

    Attributes:
        center: voxel in canonical axes that it is centered on.
        label: name of the label to outline.
    """

    center: tuple[int, int, int]
    label: str


@final
@dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute that a method can be asked for.

    Attributes:
        name: for people; also what ``--attribute`` takes.
        levels: what is asked for, at least two, in the order in which the property should rise.
        measured: the property with its unit, such as "mean, HU".
        requests: the requests of one draw, which differ in this attribute alone; all are made from one seed. Most
            often one for each level. It raises RequestError where the draw has no place for it.
        measure: from the cases of these requests, in order, to the property of each level; NaN where a case does not
            show it.
        enforced: how the method's code, rather than its networks, brings the property about; "" where it does not.
        cases: names of the cases of a draw where they are not one for each level, in order.
        focus: what a picture of a case shows; None: the slice with most labels, all of them outlined.
    """

    name: str
    levels: tuple[str, ...]
    measured: str
    requests: Callable[[Draw], Sequence[Any]]
    measure: Callable[[Sequence[Case]], Sequence[float]]
    enforced: str = ""
    cases: tuple[str, ...] = ()
    focus: Callable[[Case], Focus] | None = None
