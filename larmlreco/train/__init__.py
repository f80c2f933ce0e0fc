"""Data sets, losses, training loops, checkpoints."""
