"""List the modules found, or show one module's parameters and what it consumes and produces."""

import argparse
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from larmlreco.errors import ConfigurationError
from larmlreco.framework import fhicl
from larmlreco.framework.assembly import BUILT_IN
from larmlreco.framework.histograms import HistogramDirectory, HistogramService
from larmlreco.framework.module import (
    Analyzer,
    Job,
    Modifier,
    Module,
    ModuleContext,
    ObserverParameters,
    Service,
    Source,
    SourceLimits,
)
from larmlreco.framework.parameters import Parameter, ParameterSet
from larmlreco.framework.plugins import Plugin, Registry
from larmlreco.framework.provenance import Provenance

EXAMPLE = "larmlreco describe SparseImageMaker 'detector: microboone'"

_LABEL = "label"
_PROCESS = "PROCESS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("module_type", nargs="?", metavar="MODULE_TYPE", help="class of a module; all without")
    parser.add_argument(
        "parameters",
        nargs="*",
        metavar="'KEY: VALUE'",
        help="parameters with which to show what it consumes and produces",
    )


def run(args: argparse.Namespace) -> int:
    """Print the list or the description."""
    registry = Registry()
    if args.module_type is None:
        print("\n".join(_list(registry)))
    elif args.module_type in BUILT_IN:
        parameters = BUILT_IN[args.module_type]
        print("\n".join([f"{args.module_type}: service of the job runner", "", *_parameters(parameters.declared())]))
    else:
        found = registry.load(args.module_type)
        values = fhicl.loads("\n".join(args.parameters), "parameters").to_python()
        print("\n".join(_describe(found, registry.plugins[args.module_type][0], values)))
    return 0


def _list(registry: Registry) -> Iterator[str]:
    rows = []
    for name, found in registry.plugins.items():
        for plugin in found:
            try:
                made = plugin.load()
                kind, doc = made.kind, _doc(made).partition("\n")[0]
            except ConfigurationError as error:
                kind, doc = "-", str(error)
            rows.append((name, kind, plugin.where, doc if len(found) == 1 else "found twice: rename or remove one"))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()


def _doc(made: type[Module]) -> str:
    return inspect.cleandoc(made.__doc__ or "")


def _describe(made: type[Module], plugin: Plugin, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"{made.__name__}: {made.kind}, {plugin.where}"
    yield ""
    yield _doc(made)
    yield ""
    declared = made.Parameters.declared()
    if issubclass(made, Source):
        declared = SourceLimits.declared() | declared
    if issubclass(made, Analyzer):
        declared = declared | ObserverParameters.declared()
    yield from _parameters(declared)
    if issubclass(made, Modifier | Analyzer):
        yield from _products(made, values)


def _parameters(declared: dict[str, Parameter], prefix: str = "") -> Iterator[str]:
    if not prefix:
        yield "parameters:" if declared else "parameters: none"
    for name, what in declared.items():
        details = [what.type_name, what.unit, what.bounds]
        details.append("required" if what.required else f"default {what.default_text}")
        yield f"  {prefix}{name}  ({', '.join(filter(None, details))})"
        yield f"      {what.doc}"
        nested = what.annotation
        if isinstance(nested, type) and issubclass(nested, ParameterSet):
            yield from _parameters(nested.declared(), f"{prefix}{name}.")


def _products(made: type[Module], values: Mapping[str, Any]) -> Iterator[str]:
    """What an instance with these parameters declares."""
    required = {name: what.example for name, what in made.Parameters.declared().items() if what.required}
    given = "with these parameters" if values else "with the defaults"
    if required and not values:
        shown = [f"{name}: {'...' if example is None else example}" for name, example in required.items()]
        if None in required.values():
            call = " ".join(f"'{text}'" for text in shown)
            yield f"consumes, produces: shown by larmlreco describe {made.__name__} {call}"
            return
        values, given = required, f"for example with {', '.join(shown)}"
    job = Job(_PROCESS, Provenance(_PROCESS, ""))
    job.services["TFileService"] = _NoFile({}, ModuleContext("TFileService", "TFileService", job))
    try:
        config = made.Parameters.parse(values, made.__name__, made.__name__)
        module = made(config, ModuleContext(_LABEL, made.__name__, job))
    except ConfigurationError as error:
        if values:
            raise
        yield f"consumes, produces: shown by larmlreco describe {made.__name__} 'KEY: VALUE' ..., for the defaults"
        yield f"  do not make one: {error}"
        return
    consumed = [
        f"  {c.type} '{c.tag}'{_of(c.level)}{' (optional)' if c.optional else ''}" for c in module.declared_consumes
    ]
    produced = [
        f"  {p.key.type}{f' {p.key.instance!r}' if p.key.instance else ''}{_of(p.level)}"
        for p in module.declared_produces
    ]
    yield f"consumes, {given}:" if consumed else f"consumes: nothing, {given}"
    yield from consumed
    yield f"produces, {given}:" if produced else f"produces: nothing, {given}"
    yield from produced


def _of(level: str) -> str:
    return "" if level == "event" else f" of the {level}"


class _NoFile(Service, HistogramService):
    """Takes the histograms of a module that is only shown."""

    def directory(self, label: str) -> HistogramDirectory:
        return HistogramDirectory(label)
