"""Measurement of lesions in images, in numbers and in the words of a structured report."""
