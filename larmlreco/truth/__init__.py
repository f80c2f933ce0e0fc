"""True labels of pixels, voxels and hits."""
