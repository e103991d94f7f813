"""Writes a cohort in the formats of other software: DICOM series with segmentations, NRRD."""

from medsmith.exporting.writing import Exported, ExportOptions, Format, export

__all__ = ["ExportOptions", "Exported", "Format", "export"]
