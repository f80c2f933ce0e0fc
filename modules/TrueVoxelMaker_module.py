"""Producer of voxels and their true labels from true steps."""

from dataclasses import replace

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.products import InputTag, TrueLabels, TrueParticles, TrueSteps, Voxels
from larmlreco.reco.point_voxels import point_grid
from larmlreco.truth.voxels import VoxelGrid, apparent_voxels, voxels_of_steps


class TrueVoxelMaker(Producer):
    """Sum the true steps of an event into voxels, thin or smeared, and give each its true class and cluster.

    Puts ``Voxels`` and ``TrueLabels``, row i for voxel i. The grid begins at the lower
    corner of the detector's active volume, and ends with it. With ``apparent`` voxels are what perfect points in space
    would give: they lie where deposits seem to be for charge freed at the trigger, on the grid of PointVoxelMaker.
    """

    class Parameters(ParameterSet):
        """Parameters of TrueVoxelMaker."""

        steps: InputTag = parameter("largeant", doc="true steps and particles")
        detector: str = parameter(doc="geometry of the events")
        pitch: float = parameter(0.3, doc="edge of a voxel", unit="cm", minimum=0.01)
        smear: float = parameter(
            0.0, doc="Gaussian width over which energy is spread; 0: thin, as deposited", unit="voxel", minimum=0
        )
        threshold: float = parameter(0.0, doc="voxels with less energy are dropped", unit="MeV", minimum=0)
        apparent: bool = parameter(
            False, doc="place deposits by the sample at which they arrive; for one TPC, without smear and threshold"
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        mine = detector(config.detector)
        if config.apparent and (len(mine.tpcs) != 1 or config.smear or config.threshold):
            raise ConfigurationError(
                f"{context.label}.apparent is for a detector of one TPC, without smear and threshold; "
                f"{config.detector} has {len(mine.tpcs)} TPCs, smear {config.smear:g}, threshold {config.threshold:g}"
            )
        self._detector = mine if config.apparent else None
        boxes = np.array([tpc.active for tpc in mine.tpcs if tpc.active is not None])
        low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
        nx, ny, nz = np.ceil((high - low) / config.pitch - 1e-6).astype(int).tolist()
        x, y, z = low.tolist()
        self._grid = VoxelGrid((nx, ny, nz), config.pitch, (x, y, z))
        if config.apparent:
            wide = point_grid(mine, 0, config.pitch)
            self._grid = VoxelGrid(wide.shape, wide.pitch, wide.origin)
        self._config = config
        self._steps = self.consumes(TrueSteps, config.steps)
        self._particles = self.consumes(TrueParticles, config.steps)
        self._voxels = self.produces(Voxels)
        self.produces(TrueLabels)

    def produce(self, event: Event) -> None:
        """Make the voxels of one event."""
        steps, particles = event.get(TrueSteps, self._steps), event.get(TrueParticles, self._particles)
        config, target = self._config, self._voxels.branch
        if self._detector is not None:
            voxels, truth = apparent_voxels(steps, particles, self._detector, 0, self._grid, target)
            voxels = replace(voxels, meta={**voxels.meta, "tpc": 0, "detector": self._detector.name})
        else:
            voxels, truth = voxels_of_steps(
                steps, particles, self._grid, target, smear=config.smear, threshold=config.threshold
            )
        event.put(voxels)
        event.put(truth)
