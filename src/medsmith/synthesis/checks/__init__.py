"""Checks that a synthetic case must pass before it is written."""
