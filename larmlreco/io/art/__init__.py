"""Reading art-ROOT files without art, LArSoft or any class dictionary."""
