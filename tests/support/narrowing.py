"""What the type checker cannot know and a test can."""

from typing import TypeVar

Value = TypeVar("Value")


def present(value: Value | None) -> Value:
    """A value that must be there."""
    assert value is not None
    return value
