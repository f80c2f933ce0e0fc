"""Networks and their heads, one file each, found by name."""
