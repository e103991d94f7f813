"""The smallest number of cases that suffices."""

from collections.abc import Callable


def least_count(suffices: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number that suffices, by doubling and halving; None where about twice ``most`` does not.

    Args:
        suffices: whether a number does; if one does, all larger ones do.
        least: the smallest number that is asked about.
        most: where the search is given up.
    """
    low, high = least - 1, least
    while not suffices(high):
        low, high = high, 2 * high
        if low > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high
