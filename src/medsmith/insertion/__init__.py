"""Placing a lesion in a scan, resampling the cube around it, and writing the edited cube back."""
