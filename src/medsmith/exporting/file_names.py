"""Names of files and folders that are made of the names of channels."""

import re

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 64


def channel_part(channel: int, name: str) -> str:
    """A part of a path that names a channel, such as ``01-CT``: two channels never share one, none leaves its folder.

    Args:
        channel: its index; the number makes the part unique.
        name: of the channel, any text; what is no ASCII letter, digit, ``_``, ``.`` or ``-`` becomes ``_``.
    """
    return f"{channel + 1:02d}-{_UNSAFE.sub('_', name)[:_LONGEST]}"
