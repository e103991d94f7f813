"""Procedural cohorts whose truth is known exactly: the data that ship with the project, and a test oracle."""
