"""Producer of images without some of their channels."""

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.images import DeadChannelFinder
from larmlreco.images.mask import random_runs, rows_of
from larmlreco.products import Assns, ChannelStatus, InputTag, Pixels

_DEAD, _GOOD = 1, 4


class ChannelMask(Producer):
    """Take channels away from images of planes, of simulation or data: those given, and random runs of live ones.

    Puts, with the plane's name as instance, ``Pixels`` without the masked channels and the ``Assns`` from them to the
    image that was given, which keeps the truth; ``ChannelStatus`` of all channels, in which the masked ones are dead
    beside those that were, and that of the instance ``masked``, in which only the masked ones are. The random runs
    follow from the seed and the number of the event.
    """

    class Parameters(ParameterSet):
        """Parameters of ChannelMask."""

        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        detector: str = parameter(doc="geometry of the images")
        planes: list[str] = parameter([], doc="planes to mask; empty: all that see an active volume")
        channels: list[int] = parameter([], doc="channels to mask", minimum=0)
        fraction: float = parameter(0.1, doc="part of the live channels to mask at random", minimum=0, maximum=1)
        widths: list[int] = parameter(
            [1, 10],
            doc="least and most channels of a random run",
            unit="wire",
            check=lambda v: None if len(v) == 2 and 1 <= v[0] <= v[1] else "least and most, 1 or more",
        )
        seed: int = parameter(1, doc="seed of the random runs", minimum=0)
        channel_status: InputTag | None = parameter(None, doc="status of channels; dead ones are not masked")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._config = config
        self._detector = detector(config.detector)
        self._detector.check_channels(config.channels, "channels to mask")
        planes = [self._detector.readout_plane(name) for name in config.planes]
        self._planes = planes or list(self._detector.active_readout_planes)
        label, process = config.images.label, config.images.process
        self._images = [self.consumes(Pixels, InputTag(label, plane.name, process)) for plane in self._planes]
        self._status = None
        if config.channel_status is not None:
            self._status = self.consumes(ChannelStatus, config.channel_status, optional=True)
        self._finder = DeadChannelFinder(
            [], False, context.log, None if config.channel_status is None else str(config.channel_status)
        )
        if not config.channels and config.fraction == 0:
            raise ConfigurationError(f"{context.label}: nothing is masked; expected channels, or a fraction above 0")
        for plane in self._planes:
            self.produces(Pixels, plane.name)
            self.produces(Assns, plane.name)
        self.produces(ChannelStatus)
        self.produces(ChannelStatus, "masked")

    def produce(self, event: Event) -> None:
        """Mask the images of one event."""
        config = self._config
        status = None if self._status is None else event.find(ChannelStatus, self._status)
        was_dead = np.zeros(self._detector.n_channels, dtype=np.bool_)
        was_dead[self._finder.find(status)] = True
        was_dead[self._detector.unread_channels] = True
        masked = np.zeros_like(was_dead)
        masked[config.channels] = True
        random = event.id.random(config.seed)
        for plane, tag in zip(self._planes, self._images, strict=True):
            runs = random_runs(
                ~(was_dead | masked)[plane.channels], config.fraction, (config.widths[0], config.widths[1]), random
            )
            masked[plane.channels[runs]] = True
            pixels = event.get(Pixels, tag)
            kept = np.flatnonzero(~masked[plane.channels[pixels.column]])
            left = event.put(rows_of(pixels, kept), plane.name).branch
            links = {"left": np.arange(len(kept)), "right": kept}
            event.put(Assns.from_columns(links, {"left": left, "right": event.key(Pixels, tag).branch}), plane.name)
        masked &= ~was_dead
        channel = np.arange(self._detector.n_channels)
        for instance, dead in (("", was_dead | masked), ("masked", masked)):
            columns = {"channel": channel, "status": np.where(dead, _DEAD, _GOOD)}
            event.put(ChannelStatus.from_columns(columns), instance)
