"""Producer of voxels from space points."""

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.products import Assns, Hits, InputTag, SemanticScores, SpacePoints, Voxels
from larmlreco.reco.point_voxels import (
    ChargeScale,
    PointVoxels,
    cell_size,
    links_through,
    part_with,
    point_grid,
    point_voxels,
    shared_charge,
    tpc_of_instance,
)
from larmlreco.reco.semantic import scores_of_hits


class PointVoxelMaker(Producer):
    """Put space points into voxels, with the energy of their charge in MeV.

    Puts, with the instance of the points (one a TPC): ``Voxels``, the ``Assns`` from voxels to points (they lead to
    pixels, hits and wires), with ``hits`` given the ``Assns`` ``<instance>hits`` from voxels to hits, and with
    ``segmentation`` given ``SemanticScores``, the means of those of the points, weighted with energy. The charge of a
    pixel is shared among its points. Voxels say what part of their energy only two planes saw, and what part was filled
    in where wires are dead.
    """

    class Parameters(ParameterSet):
        """Parameters of PointVoxelMaker."""

        points: InputTag = parameter("flow", doc="points (SpacePoints)")
        images: list[str] = parameter(
            [""],
            doc="instances of the points, tpc<number>; empty where there is one TPC",
            check=lambda v: None if v else "at least one instance",
        )
        detector: str = parameter(doc="geometry of the points")
        hits: InputTag | None = parameter(None, doc="hits to link voxels to, through the points; @nil: none")
        segmentation: InputTag | None = parameter(None, doc="scores of points to carry over to voxels; @nil: none")
        pitch: float = parameter(0.3, doc="edge of a voxel", unit="cm", minimum=0.01)
        electrons_per_charge: float = parameter(200.0, doc="electrons of a unit of the points' charge", minimum=1e-6)
        dedx: float = parameter(2.1, doc="dE/dx at which recombination is taken", unit="MeV/cm", minimum=1.0)
        lifetime: float = parameter(0.0, doc="electron lifetime; 0: no electron is lost", unit="ms", minimum=0)
        correction: float = parameter(
            1.0, doc="factor on the energy, for what thresholds leave out; measured on simulation", minimum=1e-3
        )
        passes: int = parameter(
            10, doc="passes in which points of one pixel share its charge; 0: by their scores, once", minimum=0
        )
        threshold: float = parameter(0.0, doc="voxels with less energy are dropped", unit="MeV", minimum=0)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._detector = mine = detector(config.detector)
        self._scale = ChargeScale(
            config.electrons_per_charge, mine.electric_field, config.dedx, config.lifetime, config.correction
        )
        self._hits = None if config.hits is None else self.consumes(Hits, config.hits)
        self._tags, self._tpcs, self._scores = {}, {}, {}
        for name in config.images:
            try:
                self._tpcs[name] = tpc_of_instance(mine, name)
            except ValueError as error:
                raise ConfigurationError(f"{context.label}.images: {error}") from error
            tag = InputTag(config.points.label, name, config.points.process)
            self._tags[name] = self.consumes(SpacePoints, tag, facts={"detector": config.detector})
            self.produces(Voxels, name, facts={"pitch": config.pitch})
            self.produces(Assns, name)
            if config.hits is not None:
                self.produces(Assns, f"{name}hits")
            if config.segmentation is not None:
                tag = InputTag(config.segmentation.label, name, config.segmentation.process)
                self._scores[name] = self.consumes(SemanticScores, tag)
                self.produces(SemanticScores, name)

    def produce(self, event: Event) -> None:
        """Make the voxels of one event."""
        for name, tag in self._tags.items():
            points = event.get(SpacePoints, tag)
            branch = event.key(SpacePoints, tag).branch
            self._check(points, branch)
            tpc = self._tpcs[name]
            grid = point_grid(self._detector, tpc, self._config.pitch)
            position = np.column_stack([points.x, points.y, points.z]).astype(np.float64)
            weight = np.where(points.score > 0, points.score, 1.0)
            charge = shared_charge(points.pixel, points.charge, weight, self._config.passes)
            drift = np.abs(position[:, 0] - self._detector.tpcs[tpc].anode_x) / self._detector.drift_speed
            found = point_voxels(
                position,
                self._scale.energy(charge, drift),
                grid,
                cell_size(self._detector, tpc, float(points.meta.get("row_length", 0.0))),
                self._config.threshold,
            )
            bits = points.meta.get("flags", {})
            filled_in = sum(bit for flag, bit in bits.items() if flag.startswith("infilled"))
            x, y, z = found.index.T
            made = event.put(
                Voxels(
                    x=x,
                    y=y,
                    z=z,
                    energy=found.energy.astype(np.float32),
                    two_planes=part_with(found, np.count_nonzero(points.charge, axis=1) == 2).astype(np.float32),
                    infilled=part_with(found, (points.flags & filled_in) != 0).astype(np.float32),
                    origin=np.array([grid.origin], dtype=np.float32),
                    pitch=np.array([grid.pitch], dtype=np.float32),
                    meta={
                        "shape": list(grid.shape),
                        "tpc": tpc,
                        "detector": self._detector.name,
                        "points": branch,
                        "mev_per_charge": self._scale.mev,
                        "n_outside": found.outside,
                    },
                ),
                name,
            ).branch
            links = {"left": found.voxel, "right": found.point}
            event.put(Assns.from_columns(links, {"left": made, "right": branch}), name)
            if self._hits is not None:
                pairs = links_through(found.voxel, found.point, points.hit)
                hits = event.key(Hits, self._hits).branch
                links = {"left": pairs[:, 0], "right": pairs[:, 1]}
                event.put(Assns.from_columns(links, {"left": made, "right": hits}), f"{name}hits")
            if name in self._scores:
                event.put(self._classes(event.get(SemanticScores, self._scores[name]), found, made), name)

    def _check(self, points: SpacePoints, branch: str) -> None:
        theirs = points.meta.get("detector", self._detector.name)
        if theirs != self._detector.name:
            raise ConfigurationError(
                f"{self.context.label}.detector: {branch} holds points of {theirs}, the job says {self._detector.name}"
            )

    def _classes(self, scores: SemanticScores, found: PointVoxels, target: str) -> SemanticScores:
        rows, share = scores.scores[found.point], found.share.astype(np.float32)
        known = scores.label[found.point] >= 0
        mean, label = scores_of_hits(rows[known], share[known], found.voxel[known], len(found.energy))
        return SemanticScores(scores=mean, label=label, meta={**scores.meta, "target": target})
