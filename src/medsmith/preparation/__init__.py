"""Converts folders of annotated images to cohorts, and splits and merges cohorts."""

from medsmith.formats.volume import ReadOptions
from medsmith.preparation.merge import merge
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare
from medsmith.preparation.split import split

__all__ = ["PrepareOptions", "ReadOptions", "merge", "prepare", "split"]
