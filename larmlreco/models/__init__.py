"""Networks, found by name, their checkpoints and their model cards."""

from larmlreco.models.network import Network, build, names, register
from larmlreco.models.uresnet import UResNet

__all__ = ["Network", "UResNet", "build", "names", "register"]
