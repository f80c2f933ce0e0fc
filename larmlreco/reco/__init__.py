"""Semantic labels, flow, clustering, Michel finding, infill: pure functions on arrays."""
