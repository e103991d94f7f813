"""Reads series, segmentations and structure sets in DICOM; needs the extra ``dicom``.

Patient identity stays in the files: no error, note or value that leaves this package holds a name, an id, a date, a UID
or free text of a file. A series is named by its number, modality and size; a file by its place in the sorted folder.
"""
