"""Synthetic cases as tar archives in WebDataset's layout, at a folder or URL, and back to a cohort.

WebDataset: https://github.com/webdataset/webdataset (files of one sample share the part of their name before the first
dot).
"""
