"""What made a file: the expanded configuration, its hash, versions, and the hashes of the models in use."""

import hashlib
import platform
import sys
from dataclasses import dataclass, field

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.version import __version__


@dataclass
class Provenance:
    """``configuration`` is the expanded job as canonical FHiCL; ``models`` has SHA-256 by model name."""

    process: str
    configuration: str
    models: dict[str, str] = field(default_factory=dict)

    @property
    def configuration_sha256(self) -> str:
        """Hash of the canonical configuration (64 hexadecimal digits)."""
        return hashlib.sha256(self.configuration.encode()).hexdigest()

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what computes; torch, and whether there are native operators, only where a module loaded it."""
        found = {"larmlreco": __version__, "python": platform.python_version(), "numpy": np.__version__}
        if "torch" in sys.modules:
            found["torch"] = str(sys.modules["torch"].__version__)
        if "larmlreco.sparse.native" in sys.modules:
            there = sys.modules["larmlreco.sparse.native"].available()
            found["larmlreco_operators"] = "native" if there else "absent"
        return found

    def register_model(self, name: str, sha256: str) -> None:
        """Remember a model. Raises ``ConfigurationError`` if another model has that name."""
        if self.models.setdefault(name, sha256) != sha256:
            raise ConfigurationError(
                f"two models are called {name!r}: {self.models[name][:12]} and {sha256[:12]}; give them different names"
            )
