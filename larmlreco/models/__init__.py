"""Networks, found by name, their checkpoints and their model cards."""

from larmlreco.models.checkpoint import Architecture, Checkpoint, load_checkpoint, save_checkpoint
from larmlreco.models.classifier import ParticleClassifier
from larmlreco.models.clustering import ClusteringUResNet
from larmlreco.models.infill import InfillUResNet
from larmlreco.models.larflow import LArFlow
from larmlreco.models.larflow_regression import LArFlowRegression
from larmlreco.models.network import Network, build, names, register
from larmlreco.models.uresnet import UResNet

__all__ = [
    "Architecture",
    "Checkpoint",
    "ClusteringUResNet",
    "InfillUResNet",
    "LArFlow",
    "LArFlowRegression",
    "Network",
    "ParticleClassifier",
    "UResNet",
    "build",
    "load_checkpoint",
    "names",
    "register",
    "save_checkpoint",
]
