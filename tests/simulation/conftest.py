"""Geant4 for the tests of the simulation."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from larmlreco.errors import ConfigurationError
from larmlreco.simulation.geant import check_data

VARIABLES = {
    "GEANT4_DATA_DIR": "empty",
    "G4LEDATA": "emlow",
    "G4ENSDFSTATEDATA": "ensdf",
    "G4LEVELGAMMADATA": "empty",
    "G4PARTICLEXSDATA": "empty",
}


@pytest.fixture(scope="session")
def geant4_data(shared_path: Callable[[str], Path]) -> Iterator[None]:
    """Geant4's data: the user's own where they are found, else those beside the checkout; skips without."""
    if find_spec("geant4_pybind") is None:
        pytest.skip("geant4-pybind is not installed (package extra [sim])")
    try:
        check_data()
    except ConfigurationError:
        with pytest.MonkeyPatch.context() as patch:
            for name, folder in VARIABLES.items():
                patch.setenv(name, str(shared_path(f"geant4/{folder}")))
            yield
    else:
        yield
