"""medsmith makes annotated medical images: synthetic research data, not for diagnosis."""

__version__ = "0.1.0"
