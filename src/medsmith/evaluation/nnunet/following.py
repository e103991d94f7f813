"""The progress of nnU-Net's programs, read from the lines that they say."""

import re
from typing import final

from medsmith.progress import Advance

_EPOCH = re.compile(r"(?:.*: )?Epoch (\d+)\s*")
_PREDICTING = "Predicting "


@final
class Follower:
    """Advances a task by the steps that one program takes.

    Args:
        advance: of the task.
        steps: of the program.
        note: shown beside them.
    """

    def __init__(self, advance: Advance, steps: int, note: str) -> None:
        self._advance, self._steps, self._note = advance, steps, note
        self._reached, self._begun = 0, 0

    def trained(self, line: str) -> None:
        """A line of a training: ``Epoch 3`` says that three epochs are done, by this or an earlier call."""
        if found := _EPOCH.fullmatch(line):
            self.reach(int(found[1]))

    def predicted(self, line: str) -> None:
        """A line of a prediction, which names each case when it begins."""
        if line.startswith(_PREDICTING):
            self.reach(self._begun)
            self._begun += 1

    def reach(self, step: int) -> None:
        """So many steps are done."""
        ahead = min(step, self._steps) - self._reached
        self._reached += ahead
        self._advance(ahead, self._note)

    def end(self) -> None:
        """All steps are done."""
        self.reach(self._steps)
