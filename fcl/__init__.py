"""Job configurations (FHiCL)."""
