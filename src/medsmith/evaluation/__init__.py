"""Compares a synthetic cohort with a real one: distributions, copies, masks. Knows no method."""
