"""Structured lesion reports: their words, how they are written, read, measured from images, and turned into vectors."""
