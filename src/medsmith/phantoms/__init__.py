"""Procedural cohorts with exact ground truth, used as built-in data and as a test oracle."""
