"""Where a lesion goes in a scan, the crop in which it is made, and how that crop is given back."""
