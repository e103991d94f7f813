"""The result of the loop: its turns, its control, and whose labels were taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from medsmith.annotation.measured import LEAST_DICE, Measured, rise
from medsmith.annotation.records import ControlRecord, TurnRecord
from medsmith.evaluation.pages.page import WARNING


@final
@dataclass(frozen=True)
class Annotation:
    """The result of the loop.

    Attributes:
        out: its folder.
        control: the labeler of the labeled slices alone.
        turns: in order.
        chosen: number of the turn whose labeler was taken; 0 is the control.
        stopped: why there was no further turn.
    """

    out: Path
    control: ControlRecord
    turns: tuple[TurnRecord, ...]
    chosen: int
    stopped: str

    @property
    def best(self) -> Measured:
        """Dice of the labeler that was taken."""
        return self.turns[self.chosen - 1].measured if self.chosen else self.control.measured

    @property
    def line(self) -> str:
        """Whose labels were taken and why, in one line."""
        leader = max(self.turns, key=lambda turn: turn.measured.mean)
        ahead = rise(leader.measured, self.control.measured)
        found = ahead.interval
        compared = (
            f"Dice {leader.measured.mean:.3f} in turn {leader.number}, {self.control.measured.mean:.3f} in the control"
            f", difference {found.value:+.3f} (95 % interval {found.low:+.3f} to {found.high:+.3f}"
            ", without the randomness of training)"
        )
        doubt = "" if ahead.is_clear else f", which {len(ahead.differences)} {ahead.unit} cannot tell from none"
        taken = (
            f"turn {self.chosen}" if self.chosen else "the control, trained on the labeled slices alone: it is better"
        )
        line = f"{self.out / 'annotated'}: labels of {taken}; {compared}{doubt}; {self.stopped}"
        failed = ", ".join(self.best.not_usable)
        return f"{line}; {failed}: Dice below {_short(LEAST_DICE)}, not usable" if failed else line

    def as_json(self, settings: Mapping[str, Any], seconds: Mapping[str, float]) -> Mapping[str, Any]:
        """The result as JSON values.

        Args:
            settings: of the folder.
            seconds: spent on the control and on each turn.
        """
        return {
            "warning": WARNING,
            "labels_of": f"turn {self.chosen}" if self.chosen else "control",
            "line": self.line,
            "stopped": self.stopped,
            "labels_not_usable": self.best.not_usable,
            "control": self.control.model_dump(mode="json") | _summary(self.control.measured),
            "turns": [self._turn(turn) for turn in self.turns],
            "settings": dict(settings),
            "seconds": dict(seconds),
        }

    def _turn(self, turn: TurnRecord) -> dict[str, Any]:
        rises = {"rise_over_control": rise(turn.measured, self.control.measured)}
        if turn.number > 1:
            rises["rise_over_last_turn"] = rise(turn.measured, self.turns[turn.number - 2].measured)
        numbers = {
            name: {**found.interval.as_json(), "error": found.error, "differences": found.differences}
            for name, found in rises.items()
        }
        return turn.model_dump(mode="json") | _summary(turn.measured) | numbers


def choose(control: ControlRecord, turns: Sequence[TurnRecord]) -> int:
    """Number of the turn with the highest mean Dice; 0 for the control, also where it equals the best turn."""
    means = [control.measured.mean, *(turn.measured.mean for turn in turns)]
    return means.index(max(means))


def control_line(control: ControlRecord, seconds: float) -> str:
    """Cost and quality of the control in one line."""
    return f"control: {_dice(control.measured)}; {control.steps} steps; {seconds:.0f} s"


def turn_line(turn: TurnRecord, before: TurnRecord | None, control: ControlRecord, seconds: float) -> str:
    """Cost and quality of a turn in one line, beside the control.

    Args:
        turn: the turn.
        before: the turn before it.
        control: the control.
        seconds: spent on the turn.
    """
    parts = [f"turn {turn.number}: {_dice(turn.measured)}"]
    if before is not None:
        parts.append(f"{rise(turn.measured, before.measured)} over turn {before.number}")
    parts.append(f"control {control.measured.mean:.3f}, {rise(turn.measured, control.measured)} over it")
    if turn.agreement is not None:
        parts.append(f"agreement with turn {turn.number - 1} {turn.agreement:.3f}")
    parts.append(f"{turn.pairs} pairs, {turn.rejection:.0%} of anatomies illegal, space of {turn.annotated} slices")
    return "; ".join([*parts, f"{seconds:.0f} s"])


def _dice(measured: Measured) -> str:
    of_labels = ", ".join(
        [
            *(f"{name} {found.value:.3f}" for name, found in measured.label_estimates.items()),
            *(f"{name}: {why}" for name, why in measured.left_out.items()),
        ]
    )
    return f"Dice {measured.mean:.3f} ({of_labels})"


def _short(share: float) -> str:
    """Without the zero before the point: ``.1``."""
    return f"{share:g}".removeprefix("0")


def _summary(measured: Measured) -> dict[str, Any]:
    of_labels = {name: found.as_json() for name, found in measured.label_estimates.items()}
    return {"dice": measured.estimate.as_json(), "dice_of_labels": of_labels, "labels_left_out": measured.left_out}
