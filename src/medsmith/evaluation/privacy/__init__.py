"""Detects synthetic images that copy training images."""
