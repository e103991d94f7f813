"""Whether synthetic images copy training images."""
