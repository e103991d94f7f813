"""The standard error of a mean over two crossed random factors, such as training sets and test patients."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64
from scipy import stats


@final
@dataclass(frozen=True)
class CrossedSpread:
    """What the standard error of a mean over random rows and random columns is made of.

    Attributes:
        error: the standard error.
        freedom: its degrees of freedom, by Satterthwaite (1946).
        rows: the part of its square that no number of columns makes smaller.
        row_freedom: degrees of freedom of that part.
        column: variance between columns; divided by their number, the other part.
    """

    error: float
    freedom: float
    rows: float
    row_freedom: float
    column: float

    def with_columns(self, count: int) -> tuple[float, float]:
        """Standard error, and its degrees of freedom, that so many columns would give; at least 2."""
        part = self.column / count
        total = self.rows + part
        weighted = self.rows**2 / self.row_freedom + part**2 / (count - 1)
        return float(np.sqrt(total)), total**2 / weighted if weighted else float(count - 1)

    def quantile(self, level: float) -> float:
        """Standard errors from the mean to either end of an interval."""
        return float(stats.t.ppf((1 + level) / 2, self.freedom))

    def p_value(self, mean: float) -> float:
        """Two-sided probability of a mean at least as far from 0."""
        if self.error == 0:
            return float(mean == 0)
        return float(2 * stats.t.sf(abs(mean) / self.error, self.freedom))


def crossed_spread(values: Float64[np.ndarray, "rows columns"], inflation: float = 1.0) -> CrossedSpread:
    """The spread of the mean of a crossed table without replicates.

    Its variance is (inflation (MS_r - MS_e) + MS_c) / (R C), where the mean squares are those of rows, columns and the
    residual; it is at least that of either factor alone.

    Args:
        values: none missing. One row, or one column, has the spread of a mean over the other factor.
        inflation: variance of the mean over rows as a multiple of what independent rows had.
    """
    rows, columns = values.shape
    of_rows, of_columns = values.mean(axis=1), values.mean(axis=0)
    column = float(of_columns.var(ddof=1)) if columns > 1 else 0.0
    if rows == 1 or columns == 1:
        between = float(of_rows.var(ddof=1)) / rows * inflation if rows > 1 else 0.0
        error = np.sqrt(between + column / columns) if rows * columns > 1 else np.inf
        return CrossedSpread(float(error), max(rows, columns) - 1.0 or 1.0, between, max(rows - 1.0, 1.0), column)
    residual = values - of_rows[:, None] - of_columns + values.mean()
    squares = np.array([columns * of_rows.var(ddof=1), rows * column, 0.0])
    freedom = np.array([rows - 1, columns - 1, (rows - 1) * (columns - 1)])
    squares[2] = (residual**2).sum() / freedom[2]
    apart = inflation * (squares[0] - squares[2])
    total, largest = apart + squares[1], int(np.argmax(squares[:2]))
    if total <= squares[largest]:
        total, degrees = squares[largest], float(freedom[largest])
    else:
        weighted = squares * (inflation, 1, inflation)
        # The residual is subtracted, so that the sum may be small and its parts are not: Satterthwaite's number then
        # falls below that of any part, which a sum of them has at least.
        degrees = max(float(total**2 / (weighted**2 / freedom).sum()), float(freedom.min()))
    between = float(max(apart, 0.0) / values.size)
    return CrossedSpread(float(np.sqrt(total / values.size)), degrees, between, rows - 1.0, column)
