"""What a paper consists of here: its rows, its published tables, and the stand-in data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

Measure = Literal["fidelity", "utility"]


@final
@dataclass(frozen=True)
class Inputs:
    """Where the cases of a call lie.

    Attributes:
        train: cohort that generators and segmenters learn from.
        test: cohort that nothing learns from.
        templates: scans that lesions are inserted into.
        space: file of the shape space of the training labels.
        group: regular expression that finds the patient in an id of ``train`` and ``test``; None: each case is of
            another one.
    """

    train: Path
    test: Path
    templates: Path
    space: Path
    group: str | None = None


Request = Callable[[Inputs], Mapping[str, Any]]


def nothing(_inputs: Inputs) -> Mapping[str, Any]:
    """The request of a method that is asked for nothing."""
    return {}


@final
@dataclass(frozen=True)
class Generator:
    """What is trained for one or more rows.

    Attributes:
        method: name of the method.
        settings: changes to its preset.
        stages: that share the updates of a row.
        weights: name of shipped weights that take the place of training; "" trains.
    """

    method: str
    settings: tuple[str, ...] = ()
    stages: int = 1
    weights: str = ""


@final
@dataclass(frozen=True)
class Row:
    """One synthetic cohort.

    Attributes:
        name: of the row.
        generator: key of the paper's generators.
        request: of every case.
        labeled: whether its cases have labels, and can be learned from.
    """

    name: str
    generator: str
    request: Request = nothing
    labeled: bool = True


@final
@dataclass(frozen=True)
class PublishedTable:
    """One table of a paper.

    Attributes:
        title: number and measure in the paper.
        measure: what is put beside it: Fréchet distances (smaller is better), or Dice of segmenters (larger is better).
        figures: row -> the paper's figure.
        baseline: the paper's figure for real cases alone; None where it has none.
        arm: of the utility experiment whose Dice is put beside it.
        settings: what it was measured on.
        left_out: what of the table is not made here, with its figures and the reason.
        unlike: how a row here differs from that of the paper; "" where it does not.
    """

    title: str
    measure: Measure
    figures: Mapping[str, float]
    settings: str
    left_out: str
    unlike: str = ""
    baseline: float | None = None
    arm: Literal["R + S", "S", "S then R"] = "R + S"


@final
@dataclass(frozen=True)
class Paper:
    """A paper with its rows.

    Attributes:
        name: as given to the command.
        title: of the paper.
        own: the row of the method that the paper proposes.
        generators: key -> what is trained.
        rows: in the order of the page.
        tables: of the paper.
        other_results: what else the paper measures, and what here measures it.
        phantoms: family of the stand-in cases where no real ones are given.
        templates: family of scans without lesions; "" where none are needed.
        dimensions: of its images.
        lesions_alone: whether the labels of organs are left out of what segmentation networks learn.
        shape_space: whether a row draws label maps from a shape space.
    """

    name: str
    title: str
    own: str
    generators: Mapping[str, Generator]
    rows: tuple[Row, ...]
    tables: tuple[PublishedTable, ...]
    phantoms: str
    other_results: str = ""
    templates: str = ""
    dimensions: int = 2
    lesions_alone: bool = False
    shape_space: bool = False
