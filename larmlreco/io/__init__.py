"""Readers and writers: art-ROOT, LArCV, our own ROOT layout; the only room that knows file formats."""
