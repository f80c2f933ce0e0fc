"""A job's configuration taken apart: process, source, services, modules and paths, checked as art does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.parameters import Origin

TABLES = {
    "physics.producers": "producer",
    "physics.filters": "filter",
    "physics.analyzers": "analyzer",
    "outputs": "output",
}
"""Tables of modules and the kind of module that each holds."""

_TOP = ("process_name", "source", "services", "physics", "outputs")
_PHYSICS = ("producers", "filters", "analyzers", "trigger_paths", "end_paths")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")


@dataclass(frozen=True)
class Entry:
    """A configured module: ``key`` is its full dotted name, ``values`` its parameters without ``module_type``."""

    label: str
    key: str
    kind: str
    module_type: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """A module on a path; ``action`` is "" , "!" (a filter's verdict negated) or "-" (ignored)."""

    label: str
    action: str = ""


@dataclass(frozen=True)
class JobConfiguration:
    """The parts of a job; ``paths`` are the trigger paths, ``end`` the modules of the end paths in order.

    ``modules`` are those on paths, in the order in which they run first.
    """

    process: str
    source: Entry
    services: Mapping[str, Mapping[str, Any]]
    modules: Mapping[str, Entry]
    paths: Mapping[str, Sequence[Step]]
    end: Sequence[str]
    unused: Sequence[str]
    ignored_paths: Sequence[str]
    origin: Origin = field(default=lambda key: None)


def at(key: str, origin: Origin) -> str:
    """A key with the place where it was written, as messages begin."""
    where = origin(key)
    return f"{key} ({where})" if where else key


def parse_job(values: Mapping[str, Any], origin: Origin = lambda key: None) -> JobConfiguration:
    """Take an expanded job apart.

    Raises ``ConfigurationError`` naming the key and what would be valid: unknown tables, forbidden characters in
    labels, labels used twice, paths that name unknown modules or mix modules that put with modules that only read.
    """
    for key in values:
        if key not in _TOP:
            raise ConfigurationError(f"{at(key, origin)}: unknown in a job; {valid_choices(key, _TOP)}")
    process = values.get("process_name")
    if process is None:
        raise ConfigurationError(
            "the job has no process_name; expected letters and digits, for example process_name: Reco"
        )
    if not isinstance(process, str) or not re.fullmatch(r"[A-Za-z0-9]+", process):
        raise ConfigurationError(
            f"{at('process_name', origin)}: {process!r} is not a process name; expected letters and digits"
        )
    physics = _table(values, "physics", origin)
    modules = _modules(values, origin)
    sequences = {}
    for name, value in physics.items():
        if name in ("producers", "filters", "analyzers"):
            continue
        key = f"physics.{name}"
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            hint = valid_choices(name, _PHYSICS)
            raise ConfigurationError(
                f"{at(key, origin)}: expected a path, a sequence of module labels; beside paths, {hint}"
            )
        if name not in ("trigger_paths", "end_paths"):
            sequences[name] = value
    paths, end, ignored = _paths(physics, sequences, modules, origin)
    used = dict.fromkeys([*(step.label for steps in paths.values() for step in steps), *end])
    return JobConfiguration(
        process=process,
        source=_source(values, origin),
        services={name: _table(values, f"services.{name}", origin) for name in _table(values, "services", origin)},
        modules={label: modules[label] for label in used},
        paths=paths,
        end=end,
        unused=[label for label in modules if label not in used],
        ignored_paths=ignored,
        origin=origin,
    )


def _table(values: Mapping[str, Any], key: str, origin: Origin) -> Mapping[str, Any]:
    here: Any = values
    for part in key.split("."):
        here = here.get(part)
        if here is None:
            return {}
        if not isinstance(here, Mapping):
            raise ConfigurationError(f"{at(key, origin)}: expected a table, got {here!r}")
    return here if isinstance(here, Mapping) else {}


def _module_type(values: Mapping[str, Any], key: str, origin: Origin) -> tuple[str, dict[str, Any]]:
    rest = {name: value for name, value in values.items() if name not in ("module_type", "module_label")}
    name = values.get("module_type")
    if not isinstance(name, str) or not name:
        close = valid_choices("module_type", rest)
        hint = f"; {close.partition('valid:')[0].strip()}" if "did you mean" in close else ""
        raise ConfigurationError(f"{at(key, origin)}: needs module_type, the name of a class as text{hint}")
    return name, rest


def _source(values: Mapping[str, Any], origin: Origin) -> Entry:
    table = _table(values, "source", origin)
    if not table:
        return Entry("source", "source", "source", "EmptyEvent", {})
    module_type, rest = _module_type(table, "source", origin)
    return Entry("source", "source", "source", module_type, rest)


def _modules(values: Mapping[str, Any], origin: Origin) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for table, kind in TABLES.items():
        for label in _table(values, table, origin):
            key = f"{table}.{label}"
            if not _LABEL.match(label):
                raise ConfigurationError(
                    f"{at(key, origin)}: {label!r} is not a module label; expected letters and digits, no underscore, "
                    "for they part the names of products"
                )
            if label in found:
                raise ConfigurationError(
                    f"{at(key, origin)}: the label {label!r} is taken by {found[label].key}; labels are unique in a job"
                )
            if label == "source" or label in TABLES or label == "TriggerResults":
                raise ConfigurationError(
                    f"{at(key, origin)}: the label {label!r} has a meaning of its own; choose another"
                )
            module_type, rest = _module_type(_table(values, key, origin), key, origin)
            found[label] = Entry(label, key, kind, module_type, rest)
    return found


def _paths(
    physics: Mapping[str, Any], sequences: Mapping[str, Sequence[str]], modules: Mapping[str, Entry], origin: Origin
) -> tuple[dict[str, list[Step]], list[str], list[str]]:
    named: dict[str, list[str] | None] = {"trigger_paths": None, "end_paths": None}
    for which in named:
        if which in physics:
            named[which] = physics[which]
            for name in physics[which]:
                if name not in sequences:
                    raise ConfigurationError(
                        f"{at(f'physics.{which}', origin)}: no path {name!r}; {valid_choices(name, sequences)}"
                    )
    trigger, end = named["trigger_paths"], named["end_paths"]
    paths: dict[str, list[Step]] = {}
    end_paths: dict[str, list[Step]] = {}
    ignored = []
    for name, items in sequences.items():
        key = f"physics.{name}"
        steps = [_step(item, key, modules, origin) for item in items]
        labels = [step.label for step in steps]
        for label in labels:
            if labels.count(label) > 1:
                raise ConfigurationError(f"{at(key, origin)}: names the module {label!r} twice")
        kinds = {modules[step.label].kind in ("analyzer", "output") for step in steps}
        if len(kinds) == 2:
            raise ConfigurationError(
                f"{at(key, origin)}: mixes modules that put products ({_of(steps, modules, True)}) with modules that "
                f"only read ({_of(steps, modules, False)}); make two paths of it"
            )
        is_end = kinds == {True} or (not kinds and end is not None and name in end)
        listed, other = (end, trigger) if is_end else (trigger, end)
        if kinds and other is not None and name in other:
            ours, theirs = ("end_paths", "trigger_paths") if is_end else ("trigger_paths", "end_paths")
            raise ConfigurationError(f"{at(f'physics.{theirs}', origin)}: {name!r} belongs into {ours}")
        if not kinds and name not in [*(trigger or []), *(end or [])]:
            continue
        if listed is not None and name not in listed:
            ignored.append(name)
        elif is_end:
            end_paths[name] = steps
        else:
            paths[name] = steps
    if trigger is not None:
        paths = {name: paths[name] for name in dict.fromkeys(trigger)}
    if end is not None:
        end_paths = {name: end_paths[name] for name in dict.fromkeys(end)}
    end_labels = dict.fromkeys(step.label for steps in end_paths.values() for step in steps)
    return paths, list(end_labels), ignored


def _of(steps: Sequence[Step], modules: Mapping[str, Entry], put: bool) -> str:
    return ", ".join(s.label for s in steps if (modules[s.label].kind in ("producer", "filter")) == put)


def _step(item: str, key: str, modules: Mapping[str, Entry], origin: Origin) -> Step:
    action = item[:1] if item[:1] in ("!", "-") else ""
    label = item.removeprefix(action)
    if label not in modules:
        raise ConfigurationError(f"{at(key, origin)}: no module {label!r}; {valid_choices(label, modules)}")
    if action and modules[label].kind != "filter":
        kind = modules[label].kind
        raise ConfigurationError(
            f"{at(key, origin)}: {item!r} has {action!r} but is of the kind {kind}; only filters have a verdict"
        )
    return Step(label, action)
