"""Reading art-ROOT files without art, LArSoft or any class dictionary."""

from larmlreco.io.art.file import ArtFile

__all__ = ["ArtFile"]
