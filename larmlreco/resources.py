"""Where modules, job configurations and archives lie: in the checkout, or inside an installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


def _directory(checkout: str, installed: str) -> Path:
    in_checkout = _CHECKOUT / checkout
    if (_CHECKOUT / "setup.cfg").is_file() and in_checkout.is_dir():
        return in_checkout
    return _PACKAGE / installed


def modules_directory() -> Path:
    """Directory of the ``<Class>_module.py`` and ``<Class>_source.py`` files of this package."""
    return _directory("modules", "modules")


def fcl_directory() -> Path:
    """Directory of the job configurations of this package."""
    return _directory("fcl", "fcl")


def archives_directory() -> Path:
    """Directory of the shipped TorchScript archives."""
    return _directory("torchscript/models", "archives")


def archive_path(name: Path | str) -> Path:
    """The path itself, or the shipped archive of that name."""
    given = Path(name)
    shipped = archives_directory() / given.name
    if given.exists() or given.parent != Path() or not shipped.exists():
        return given
    return shipped
