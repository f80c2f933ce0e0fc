"""FHiCL: from a job's text to a typed parameter tree, and back to canonical text.

:func:`load` reads a job as art does (prologs, references, overrides, includes over FHICL_FILE_PATH, protection), and
:class:`Table` holds the result, from which every parameter can be traced to the line that set it.
"""

from larmlreco.framework.fhicl.nodes import Kind, Node, Protection
from larmlreco.framework.fhicl.source import SEARCH_VARIABLE, FhiclError
from larmlreco.framework.fhicl.table import Table, dumps, from_python, load, loads, parse_key, to_python

__all__ = [
    "SEARCH_VARIABLE",
    "FhiclError",
    "Kind",
    "Node",
    "Protection",
    "Table",
    "dumps",
    "from_python",
    "load",
    "loads",
    "parse_key",
    "to_python",
]
