"""Readers and writers: art-ROOT, LArCV, our own ROOT layout; the only room that knows file formats."""

from larmlreco.io.open import open_file
from larmlreco.io.reader import BranchSummary, Reader

__all__ = ["BranchSummary", "Reader", "open_file"]
