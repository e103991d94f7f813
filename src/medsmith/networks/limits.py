"""Largest settings of networks: what is larger is a mistake, and is refused before memory is asked for."""

from typing import Annotated, Final

from pydantic import Field

MOST_CHANNELS: Final = 4096
"""Of one level or attention head."""
MOST_LEVELS: Final = 8
"""Resolutions of a network, or convolutions of a discriminator."""
MOST_BLOCKS: Final = 32
"""Residual blocks of one level."""
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MOST_CHANNELS)], ...], Field(min_length=1, max_length=MOST_LEVELS)
]
"""Channels of each level."""
