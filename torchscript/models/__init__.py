"""Shipped TorchScript archives and their cards."""
