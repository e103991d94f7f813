"""nnU-Net v2 in a Python environment of its own, as programs; medsmith imports none of it."""
