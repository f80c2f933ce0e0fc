"""Producers, filters, analysers, sources and outputs, one class a file."""
