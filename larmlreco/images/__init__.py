"""Products to sparse pixels and voxels and back, with links to hits, wires and samples."""
