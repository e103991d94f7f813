"""How near synthetic images and masks are to real ones: features, distances, intervals."""
