"""What a shape space holds: a record in JSON and arrays of numbers."""

from dataclasses import dataclass, fields
from typing import Annotated, final

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsmith.anatomy.context import BODY
from medsmith.anatomy.legality import Relations
from medsmith.anatomy.splines import LEAST_POINTS, MOST_POINTS

Share = Annotated[float, Field(ge=0, le=1)]
MOST_SLICES, MOST_PIXELS = 10**9, 2**16
LARGEST_GRAY, SMALLEST_MM, LARGEST_MM = 1e9, 1.0, 1e4
FARTHEST = 10.0
"""Largest magnitude of a number in the arrays: control points are fractions of the field of view, the rest shares."""
Count = Annotated[int, Field(ge=0, le=MOST_SLICES)]
Cases = Annotated[int, Field(ge=1, le=MOST_SLICES)]
Pixels = Annotated[int, Field(ge=1, le=MOST_PIXELS)]
Millimeters = Annotated[float, Field(ge=SMALLEST_MM, le=LARGEST_MM)]
Gray = Annotated[float, Field(ge=-LARGEST_GRAY, le=LARGEST_GRAY)]
Value = Annotated[int, Field(ge=1, le=255)]
_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@final
class SlotRecord(BaseModel):
    """One slot: a contour that shows the same structure in different slices.

    Attributes:
        value: of its class in the map of regions.
        hole: whether it is cut out of its class.
        slices: number of training slices that fill it.
        area: mean share of the field of view.
    """

    model_config = _STRICT

    value: Value
    hole: bool
    slices: Count
    area: Share


@final
class PatternRecord(BaseModel):
    """A set of slots that are present together.

    Attributes:
        slots: their indices.
        slices: number of training slices that fill exactly these.
    """

    model_config = _STRICT

    slots: tuple[Count, ...]
    slices: Cases


@final
class RejectionRecord(BaseModel):
    """How many drawn anatomies are illegal.

    Attributes:
        drawn: number of anatomies that were drawn after fitting, at most 2 standard deviations per component.
        crossing: of these, those with a contour that crosses itself.
        overlapping: of the others, those with an overlap that no training slice shows, or outside the field of view.
    """

    model_config = _STRICT

    drawn: Cases
    crossing: Count
    overlapping: Count

    @property
    def rate(self) -> float:
        """Share of the anatomies that are illegal."""
        return (self.crossing + self.overlapping) / self.drawn


@final
class SpaceRecord(BaseModel):
    """The facts of a shape space.

    Attributes:
        medsmith: version that fitted it.
        cohort: content hash of the training cohort.
        cases: number of training slices.
        channel_names: of the cohort's images; () if it has none.
        label_names: cohort label -> value, with the background.
        context_names: context class -> value, above those of the labels.
        points: control points per contour.
        variance: share of the variance that was asked for.
        explained: share of the variance of each component.
        size: median pixels of the slices along x and y.
        extent_mm: median field of view along x and y; None if a spacing is unknown.
        slots: in the order of the arrays.
        patterns: sets of slots that are present together, the most frequent first.
        gray_values: class -> mean gray value per channel, in the units of the cohort; "background" is what lies
            outside all classes.
        fragments: contours that were dropped as too small.
        left_out: contours that were dropped because too few slices have one like it.
        rejection: how many drawn anatomies are illegal.
    """

    model_config = _STRICT

    medsmith: str
    cohort: str
    cases: Cases
    channel_names: tuple[str, ...]
    label_names: dict[str, Annotated[int, Field(ge=0, le=255)]]
    context_names: dict[str, Value]
    points: Annotated[int, Field(ge=LEAST_POINTS, le=MOST_POINTS)]
    variance: Annotated[float, Field(gt=0, le=1)]
    explained: tuple[Share, ...]
    size: tuple[Pixels, Pixels]
    extent_mm: tuple[Millimeters, Millimeters] | None
    slots: Annotated[tuple[SlotRecord, ...], Field(min_length=1)]
    patterns: Annotated[tuple[PatternRecord, ...], Field(min_length=1)]
    gray_values: dict[str, tuple[Gray, ...]]
    fragments: Count
    left_out: Count
    rejection: RejectionRecord

    @model_validator(mode="after")
    def _consistent(self) -> "SpaceRecord":
        values = [*self.label_names.values(), *self.context_names.values()]
        if self.label_names.get("background") != 0 or len(set(values)) < len(values):
            raise ValueError("label_names and context_names do not give each class a value of its own")
        if self.label_names.keys() & self.context_names.keys():
            raise ValueError("a class is both label and context")
        if not {slot.value for slot in self.slots} <= set(values):
            raise ValueError("a slot is of no class")
        if any(index >= len(self.slots) for pattern in self.patterns for index in pattern.slots):
            raise ValueError("a pattern names no slot")
        if not self.gray_values.keys() <= self.region_names.keys():
            raise ValueError("gray_values names no class")
        if len({len(numbers) for numbers in self.gray_values.values()}) > 1:
            raise ValueError("gray_values does not give each class the same number of channels")
        return self

    @property
    def region_names(self) -> dict[str, int]:
        """Labels and context classes -> value."""
        return {**self.label_names, **self.context_names}

    @property
    def within(self) -> dict[int, int]:
        """Context class -> the body, inside which it lies by definition."""
        body = self.context_names.get(BODY)
        inner = [value for name, value in self.context_names.items() if name != BODY]
        return {} if body is None else dict.fromkeys(inner, body)

    @property
    def paint_order(self) -> tuple[int, ...]:
        """Values of the classes from bottom to top: context below labels, each with large classes before small ones."""
        areas: dict[int, float] = {}
        for slot in self.slots:
            if not slot.hole:
                areas[slot.value] = areas.get(slot.value, 0.0) + slot.area
        context = set(self.context_names.values())
        return tuple(sorted(areas, key=lambda value: (value not in context, -areas[value], value)))


@final
@dataclass(frozen=True, eq=False)
class SpaceArrays:
    """The numbers of a shape space; control points are in fractions of the field of view.

    Attributes:
        mean: control points of the mean contours.
        components: control points of one standard deviation along each component.
        low: see ``Relations``.
        high: see ``Relations``.
        in_view: see ``Relations``.
        excess: see ``Relations``.
    """

    mean: Float64[np.ndarray, "slots points 2"]
    components: Float64[np.ndarray, "components slots points 2"]
    low: Float64[np.ndarray, "slots slots"]
    high: Float64[np.ndarray, "slots slots"]
    in_view: Float64[np.ndarray, "slots"]
    excess: Float64[np.ndarray, "slots slots"]

    @property
    def relations(self) -> Relations:
        """The limits of overlap."""
        return Relations(self.low, self.high, self.in_view, self.excess)

    def as_mapping(self) -> dict[str, np.ndarray]:
        """Name -> array."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def array_shapes(record: SpaceRecord) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the arrays that belong to a record."""
    slots, points, components = len(record.slots), record.points, len(record.explained)
    return {
        "mean": (slots, points, 2),
        "components": (components, slots, points, 2),
        "low": (slots, slots),
        "high": (slots, slots),
        "in_view": (slots,),
        "excess": (slots, slots),
    }
