"""Cohorts from folders of DICOM files: which series is the image of a case, and which segments are its labels."""
