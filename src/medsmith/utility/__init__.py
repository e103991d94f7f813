"""Are the cases of use? A segmentation network learns from real, synthetic, or both, and is tested on real ones."""
