"""Producer of Michel electrons with their muons."""

from dataclasses import fields, replace
from typing import Literal

import numpy as np

from larmlreco.framework import Event, ModuleContext, Producer, parameter
from larmlreco.framework.dead import DeadVoxelParameters, check_geometry, status_input
from larmlreco.framework.labelled import LabelledParameters, labelled_inputs
from larmlreco.geometry import detector
from larmlreco.images import DeadChannelFinder
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, ChannelStatus, Clusters, Michels, SpacePoints, TrueLabels, Voxels
from larmlreco.reco.clustering_places import CANONICAL, Places, image_shape, labels_of_rows, members
from larmlreco.reco.dead import DeadVoxelFinder
from larmlreco.reco.michel import FoundMichels, Int64, Surroundings, find_michels
from larmlreco.reco.michel_options import MichelOptions
from larmlreco.reco.michel_products import michel_clusters, michel_rows


class MichelFinder(Producer):
    """Find Michel electrons at the ends of muons (arXiv 1903.05663, section VII), on voxels or space points.

    Puts ``Michels``, the ``Clusters`` of electrons and of their muons, and the ``Assns`` from clusters to voxels or
    points, with the image's instance.
    """

    class Parameters(LabelledParameters, DeadVoxelParameters):
        """Parameters of MichelFinder."""

        published: bool = parameter(
            False, doc="the published procedure alone, without gaps, bridges, crossings and short muons"
        )
        thickness: Literal["measure", "smeared", "thin"] = parameter(
            "measure", doc="DBSCAN min_samples 5 and 10 (smeared), 3 and 4 (thin), or by the event's own tracks"
        )
        eps: float = parameter(2.8, doc="distance of neighbours in DBSCAN", unit="voxel", minimum=1)
        mask_radius: float = parameter(
            15.0, doc="radius around the attachment of the edge test", unit="voxel", minimum=0
        )
        max_gap: int = parameter(3, doc="voxels that may be missing", unit="voxel", minimum=0)
        max_dead_gap: int = parameter(20, doc="voxels that may be missing in dead regions", unit="voxel", minimum=0)
        bridge: int = parameter(
            8, doc="longest way from muon to electron through delta and HIP voxels; 0: none", unit="voxel", minimum=0
        )
        crossings: bool = parameter(True, doc="whether to resolve tracks that cross the muon near its end")
        short_muons: bool = parameter(True, doc="whether a muon may end within mask_radius")
        keep_unattached: bool = parameter(False, doc="whether to keep Michel clusters without a muon")
        min_voxels: int = parameter(1, doc="least size of an electron", unit="voxel", minimum=1)
        min_score: float = parameter(
            0.0, doc="least mean score of the Michel class over an electron", minimum=0, maximum=1
        )
        voxel_score: float = parameter(
            0.0, doc="least score of the Michel class of an electron's voxel; others leave it", minimum=0, maximum=1
        )
        vote: bool = parameter(
            False,
            doc="whether Michel voxels lose their class where showers or delta rays have more score in their piece",
        )
        hip_muons: bool = parameter(False, doc="whether HIP voxels are taken for MIP, as slow muons look like HIP")
        muon_size: float = parameter(
            0.0, doc="voxels of a muon that lower the score to 63 % for min_score; 0: none", unit="voxel", minimum=0
        )
        join_size: int = parameter(
            0, doc="voxels of an electron from which on pieces across a gap are none of it; 0: never", minimum=0
        )
        max_energy: float = parameter(0.0, doc="most energy of an electron; 0: any", unit="MeV", minimum=0)
        border: int = parameter(3, doc="distance that is close to the border or a dead region", unit="voxel", minimum=0)
        photons: bool = parameter(False, doc="whether to collect the photons that the electron radiated")
        photon_angle: float = parameter(30.0, doc="half opening of the cone", unit="deg", minimum=0, maximum=180)
        photon_length: float = parameter(80.0, doc="length of the cone", unit="cm", minimum=0)
        energy_scale: float = parameter(1.0, doc="calibrated energy of a unit of charge", unit="MeV")
        volume: list[float] = parameter(
            [],
            doc="low x, y, z and high x, y, z; empty: the image, where its size is known",
            unit="cm",
            check=lambda v: None if len(v) in (0, 6) else "six numbers",
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        (self._kind, self._label_kind), self._images = labelled_inputs(self, config, CANONICAL)
        check_geometry(config, context)
        self._status = status_input(self, config)
        geometry = None if config.geometry is None else detector(config.geometry)
        if geometry is not None:
            geometry.check_channels(config.dead_channels, "dead channels")
        expected = None if config.channel_status is None else str(config.channel_status)
        self._channels = DeadChannelFinder(config.dead_channels, False, context.log, expected)
        self._dead = DeadVoxelFinder(config.dead_regions, geometry, config.min_planes)
        for name in config.images:
            self.produces(Michels, name)
            self.produces(Clusters, name)
            self.produces(Assns, name)

    def produce(self, event: Event) -> None:
        """Find the Michel electrons of one event."""
        status = None if self._status is None else event.find(ChannelStatus, self._status)
        for name, (tag, labels_tag) in self._images.items():
            product = event.get(self._kind, tag)
            branch = event.key(self._kind, tag).branch
            labels = event.get(self._label_kind, labels_tag)
            places = Places.of(product, self._config.pitch)
            found = find_michels(
                places.index,
                places.label(labels_of_rows(labels, branch, len(product))),
                places.charge,
                self._options(places.pitch),
                scores=None if isinstance(labels, TrueLabels) else labels.scores[places.first],
                surroundings=self._surroundings(places, product, status),
            )
            self._put(event, name, places, found, branch)

    def _options(self, pitch: float) -> MichelOptions:
        names = {field.name for field in fields(MichelOptions)}
        options = MichelOptions(**{name: value for name, value in self._config if name in names})
        if not self._config.photons:
            return replace(options, photon_length=0.0)
        return replace(options, photon_length=options.photon_length / pitch)

    def _surroundings(
        self, places: Places, product: Voxels | SpacePoints, status: ChannelStatus | None
    ) -> Surroundings:
        def voxel(corner: list[float]) -> Int64:
            return np.floor((np.array(corner) - places.origin) / places.pitch).astype(np.int64)

        low = high = dead = None
        shape = image_shape(product)
        if self._config.volume:
            low, high = voxel(self._config.volume[:3]), voxel(self._config.volume[3:])
        elif shape is not None:
            low, high = np.zeros(3, dtype=np.int64), shape - 1
        if self._config.dead_regions or self._config.geometry is not None:
            channels, tpc = self._channels.find(status), product.meta.get("tpc")
            dead = self._dead.find(channels, places.origin, places.pitch, tpc=tpc)
        return Surroundings(low, high, dead)

    def _put(self, event: Event, name: str, places: Places, found: FoundMichels, branch: str) -> None:
        meta = {"class_names": list(SEMANTIC_NAMES), "scheme": "larmlreco", "target": branch}
        clusters, of_row = michel_clusters(found, places, {**meta, "algorithm": "michel_finder"})
        made = event.put(clusters, name).branch
        event.put(members(of_row, made, branch), name)
        event.put(michel_rows(found, places, self._config.energy_scale, {"target": branch, "clusters": made}), name)
