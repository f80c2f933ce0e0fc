"""Producer of sparse plane images."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.images import ImageSettings, dead_channels, hits_of_pixels, images_of_hits, images_of_wires
from larmlreco.products import Assns, ChannelStatus, Hits, InputTag, Pixels, ProductKey, Wires


class SparseImageMaker(Producer):
    """Make a sparse image of every wire plane from wires or hits.

    Puts ``Pixels`` with the plane's name as instance (``Y``, or ``tpc0_Y`` where there are several TPCs), and the
    links ``Assns`` ``<plane>_wires`` from pixels to the wires and ``<plane>_hits`` to the hits that they come from
    (with ``source: "wires"``: to the hits whose samples they hold).
    """

    class Parameters(ParameterSet):
        """Parameters of SparseImageMaker."""

        detector: str = parameter(
            doc="microboone, sbnd, icarus, protodunehd, dunefd, or a geometry data file (.json)", example="microboone"
        )
        source: Literal["wires", "hits"] = parameter("wires", doc="what the charge comes from")
        wires: InputTag = parameter("butcher", doc='wires, read where source is "wires"')
        hits: InputTag | None = parameter(None, doc='hits to link to pixels; needed where source is "hits"')
        channel_status: InputTag | None = parameter(None, doc="status of channels; dead ones give no pixels")
        dead_channels: list[int] = parameter([], doc="more dead channels", minimum=0)
        planes: list[str] = parameter([], doc="planes to make; empty: all that see an active volume")
        rebin: int = parameter(6, doc="samples summed into a row", unit="tick", minimum=1)
        threshold: float = parameter(10.0, doc="smallest charge of a pixel", unit="ADC")
        n_samples: int = parameter(0, doc="samples that the image shows; 0: the detector's", unit="tick", minimum=0)

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        if config.source == "hits" and config.hits is None:
            raise ConfigurationError(f'{context.label}.hits: SparseImageMaker with source "hits" needs the tag of hits')
        self._config = config
        self._detector = detector(config.detector)
        self._planes = [self._detector.readout_plane(name) for name in config.planes]
        self._planes = self._planes or list(self._detector.active_readout_planes)
        self._wires = self.consumes(Wires, config.wires) if config.source == "wires" else None
        self._hits = None if config.hits is None else self.consumes(Hits, config.hits)
        self._status = None if config.channel_status is None else self.consumes(ChannelStatus, config.channel_status)
        for plane in self._planes:
            facts = {"detector": config.detector, "rebin": config.rebin, "threshold": config.threshold}
            self.produces(Pixels, plane.name, facts=facts)
            if self._wires is not None:
                self.produces(Assns, f"{plane.name}_wires")
            if self._hits is not None:
                self.produces(Assns, f"{plane.name}_hits")

    def produce(self, event: Event) -> None:
        """Make the images of one event."""
        settings = self._settings(event)
        hits = None if self._hits is None else event.get(Hits, self._hits)
        if self._wires is not None:
            wires = event.get(Wires, self._wires)
            self._detector.check_views(wires.channel, wires.view, f"Wires {self._wires}")
            images = images_of_wires(wires, self._detector, self._planes, settings)
        elif hits is not None:
            self._detector.check_views(hits.channel, hits.view, f"Hits {self._hits}")
            images = images_of_hits(hits, self._detector, self._planes, settings)
        for name, image in images.items():
            pixels = event.put(image.pixels, name)
            if self._wires is not None:
                key = event.key(Wires, self._wires)
                event.put(_links(image.pixel, image.source, pixels, key), f"{name}_wires")
            if hits is not None and self._hits is not None:
                pixel, hit = image.pixel, image.source
                if self._wires is not None:
                    pixel, hit = hits_of_pixels(hits, image.pixels, self._detector)
                event.put(_links(pixel, hit, pixels, event.key(Hits, self._hits)), f"{name}_hits")

    def _settings(self, event: Event) -> ImageSettings:
        dead = np.array(self._config.dead_channels, dtype=np.int64)
        if self._status is not None:
            dead = np.concatenate([dead, dead_channels(event.get(ChannelStatus, self._status))])
        return ImageSettings(self._config.rebin, self._config.threshold, self._config.n_samples, dead)


def _links(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], pixels: ProductKey, source: ProductKey) -> Assns:
    return Assns(
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        meta={"left": pixels.branch, "right": source.branch},
    )
