"""Finds classes by name: in ``modules/``, on ``LARMLRECO_PLUGIN_PATH``, by the entry points ``larmlreco.modules``."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.module import Module
from larmlreco.resources import modules_directory

PLUGIN_PATH = "LARMLRECO_PLUGIN_PATH"
ENTRY_POINTS = "larmlreco.modules"
SUFFIXES = ("module", "source", "service")


@dataclass(frozen=True)
class Plugin:
    """A class that was found but not imported yet; ``where`` is its file or entry point."""

    name: str
    where: str
    file: Path | None = None
    entry_point: EntryPoint | None = None
    made: type[Module] | None = None
    package: str = ""

    def load(self) -> type[Module]:
        """Import the class. Raises ``ConfigurationError`` if that fails or it is not a module of a job."""
        try:
            found = self._load()
        except Exception as error:
            raise ConfigurationError(
                f"{self.name} from {self.where} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(found, type) and issubclass(found, Module)):
            raise ConfigurationError(
                f"{self.where} holds no class {self.name} derived from Producer, Filter, Analyzer, Output, Source "
                "or Service of larmlreco.framework"
            )
        return found

    def _load(self) -> object:
        if self.made is not None:
            return self.made
        if self.entry_point is not None:
            return self.entry_point.load()
        assert self.file is not None
        return getattr(_import_file(self.file, self.package), self.name, None)


def _import_file(file: Path, package: str) -> ModuleType:
    name = f"{package}.{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class Registry:
    """All plug-ins by class name. ``extra`` are classes given directly, ``path`` replaces the environment's."""

    def __init__(self, extra: Iterable[type[Module]] = (), path: str | None = None) -> None:
        self._found: dict[str, list[Plugin]] = {}
        for made in extra:
            self._add(Plugin(made.__name__, f"class {made.__module__}.{made.__qualname__}", made=made))
        self._scan(modules_directory(), "larmlreco.modules")
        for entry in (os.environ.get(PLUGIN_PATH, "") if path is None else path).split(os.pathsep):
            if not entry:
                continue
            directory = Path(entry).resolve()
            if not directory.is_dir():
                raise ConfigurationError(f"{PLUGIN_PATH} names {entry}, which is not a directory")
            self._scan(directory, f"larmlreco_plugins_{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}")
        for point in entry_points(group=ENTRY_POINTS):
            self._add(Plugin(point.name, f"entry point {point.value}", entry_point=point))

    def _scan(self, directory: Path, package: str) -> None:
        for suffix in SUFFIXES:
            for file in sorted(directory.glob(f"*_{suffix}.py")):
                self._add(Plugin(file.stem.removesuffix(f"_{suffix}"), str(file), file=file, package=package))

    def _add(self, plugin: Plugin) -> None:
        others = self._found.setdefault(plugin.name, [])
        if all(other.where != plugin.where for other in others):
            others.append(plugin)

    @property
    def plugins(self) -> Mapping[str, list[Plugin]]:
        """What was found, by class name; more than one where a name is taken twice."""
        return dict(sorted(self._found.items()))

    def load(self, name: str, asked_by: str = "", kind: str = "") -> type[Module]:
        """The class of a name.

        Raises ``ConfigurationError`` that begins with ``asked_by`` if the name is unknown, found in two places or
        not to be imported. ``kind`` (producer, source, service, ...) chooses the names that the message offers.
        """
        found = self._found.get(name, [])
        what = f"{kind} class" if kind in ("source", "service") else "module type"
        asked_by = f"{asked_by}: " if asked_by else ""
        if not found:
            raise ConfigurationError(f"{asked_by}no {what} {name!r}; {valid_choices(name, self._offered(kind))}")
        if len(found) > 1:
            places = " and ".join(plugin.where for plugin in found)
            raise ConfigurationError(f"{asked_by}{what} {name!r} is found twice: {places}; rename or remove one")
        return found[0].load()

    def _offered(self, kind: str) -> list[str]:
        suffix = kind if kind in ("source", "service") else "module" if kind else ""
        return [
            name
            for name, found in self._found.items()
            if found[0].file is None or found[0].file.stem.endswith(f"_{suffix}" if suffix else "")
        ]
