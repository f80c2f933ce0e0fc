"""Machine-learning reconstruction for liquid-argon time projection chambers."""

from larmlreco.version import __version__

__all__ = ["__version__"]
