"""Breast ultrasound phantoms."""
