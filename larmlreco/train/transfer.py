"""Weights of another training as a beginning: of an encoder that learned particles, or of the same network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from larmlreco.errors import ConfigurationError
from larmlreco.export import ARCHIVE, checkpoint_of_archive
from larmlreco.models.checkpoint import load_checkpoint
from larmlreco.models.network import Network
from larmlreco.resources import archive_path


@dataclass(frozen=True)
class Transfer:
    """Names of weights: ``loaded`` into the network, ``missing`` in the checkpoint or of another shape there (they keep
    their random values), ``unused`` ones of the checkpoint.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        def parts(names: tuple[str, ...]) -> str:
            return ", ".join(sorted({".".join(name.split(".")[:2]) for name in names})) or "none"

        return (
            f"{len(self.loaded)} weights taken over ({parts(self.loaded)}); "
            f"{len(self.missing)} begin at random ({parts(self.missing)}); "
            f"{len(self.unused)} of the checkpoint are not used ({parts(self.unused)})"
        )


def initialise(network: Network, path: Path) -> Transfer:
    """Take over from a checkpoint, or from an archive, the weights that the network has under the same name and shape.

    An archive is a path or the name of a shipped one; its norms are identities, see
    :func:`larmlreco.export.checkpoint_of_archive`. Raises ``InputError`` for a file that is neither,
    ``ConfigurationError`` where nothing fits.
    """
    archive = path.suffix == ARCHIVE
    made = checkpoint_of_archive(archive_path(str(path))) if archive else load_checkpoint(path)
    source: Mapping[str, Tensor] = made.state_dict
    own = network.state_dict()
    fitting = {name: source[name] for name in own if name in source and source[name].shape == own[name].shape}
    learned = {name for name, _ in network.named_parameters()}
    if not learned & set(fitting):
        raise ConfigurationError(
            f"initialise_from {path}: none of its weights has name and shape of one of this network; "
            f"it has {', '.join(sorted(source)[:3])}, the network {', '.join(sorted(own)[:3])}"
        )
    network.load_state_dict({**own, **fitting})
    return Transfer(
        tuple(fitting),
        tuple(name for name in own if name not in fitting),
        tuple(name for name in source if name not in fitting),
    )
