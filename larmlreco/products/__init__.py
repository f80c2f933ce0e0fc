"""Event data products: columnar, one numpy array a field, each with its data type, unit and meaning."""

from larmlreco.products.assns import Assns
from larmlreco.products.base import Column, Product, array_field
from larmlreco.products.clusters import Clusters, MichelFlag, Michels
from larmlreco.products.detector import ChannelStatus, Hits, POTSummary, Wires
from larmlreco.products.images import Pixels, Voxels
from larmlreco.products.infill import DeadRegions, InfilledPixels, InfilledVoxels
from larmlreco.products.labels import SemanticScores
from larmlreco.products.particles import ParticleFlag, Particles
from larmlreco.products.reco import FeatureVectors, FlowPoints, PlaneClusters, SpacePoints
from larmlreco.products.tags import InputTag, ProductKey
from larmlreco.products.trigger import PathState, TriggerResults
from larmlreco.products.truth import TrueLabels, TrueParticles, TrueSteps

__all__ = [
    "Assns",
    "ChannelStatus",
    "Clusters",
    "Column",
    "DeadRegions",
    "FeatureVectors",
    "FlowPoints",
    "Hits",
    "InfilledPixels",
    "InfilledVoxels",
    "InputTag",
    "MichelFlag",
    "Michels",
    "POTSummary",
    "ParticleFlag",
    "Particles",
    "PathState",
    "Pixels",
    "PlaneClusters",
    "Product",
    "ProductKey",
    "SemanticScores",
    "SpacePoints",
    "TriggerResults",
    "TrueLabels",
    "TrueParticles",
    "TrueSteps",
    "Voxels",
    "Wires",
    "array_field",
]
