"""A viewer beside a cohort: a folder of pages that opens in a browser without a network."""

from medsmith.viewer.folder import View, write_view

__all__ = ["View", "write_view"]
