"""Shape spaces of label maps: B-spline contours, their principal components, and guidance images of drawn maps."""

from medsmith.anatomy.shape_space import AnatomyMap, ShapeSpace

__all__ = ["AnatomyMap", "ShapeSpace"]
