"""Phantoms of axial chest CT slices."""
