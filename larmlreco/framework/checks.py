"""Checks before the first event: every product that a module reads will be there when it runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from larmlreco.errors import ConfigurationError, valid_choices
from larmlreco.framework.configuration import Entry, JobConfiguration, at
from larmlreco.framework.event import Consumption, Production
from larmlreco.framework.module import InputFile, Module
from larmlreco.products import InputTag, ProductKey

_SHOWN = 12


class ProductCheck:
    """What the modules of a job read, against what modules before them put and what the input holds.

    Whatever holds for all inputs is checked when this is made (:meth:`order`); :meth:`input` checks one input.
    Errors are ``ConfigurationError``.
    """

    def __init__(self, job: JobConfiguration, modules: Mapping[str, Module]) -> None:
        self._job = job
        self._modules = modules

    def input(self, file: InputFile) -> None:
        """Check everything with this input."""
        names = [record.name for record in file.process_history]
        if self._job.process in names:
            raise ConfigurationError(
                f"{at('process_name', self._job.origin)}: {self._job.process!r} is already in the history of "
                f"{file.path} ({', '.join(names)}); choose another"
            )
        for path, steps in self._job.paths.items():
            labels = [step.label for step in steps]
            for position, label in enumerate(labels):
                for asked in self._modules[label].declared_consumes:
                    self._one(label, asked, labels[:position], labels[position + 1 :], path, file)
        put = list(dict.fromkeys(step.label for steps in self._job.paths.values() for step in steps))
        for label in self._job.end:
            for asked in self._modules[label].declared_consumes:
                self._one(label, asked, put, [], "", file)

    def _one(
        self, label: str, asked: Consumption, before: Sequence[str], after: Sequence[str], path: str, file: InputFile
    ) -> None:
        tag = asked.tag
        keys = file.keys(asked.level)
        in_input = any(key.matches(asked.type, tag) for key in keys)
        own_label = tag.process in ("", self._job.process)
        if own_label and tag.label == "TriggerResults" and asked.type == "TriggerResults" and not path:
            if self._job.paths or asked.optional:
                return
            raise self._error(label, asked, "but the job has no trigger path")
        maker = self._modules.get(tag.label) if own_label else None
        if maker is not None and self._puts(maker, asked):
            if tag.label in before:
                self._fits(label, maker, asked)
                return
            if tag.label == label:
                if tag.process == "" and in_input:
                    return
                raise self._error(label, asked, "which it makes itself")
            if tag.label in after:
                back = self._reads_from(tag.label, label, [])
                if back:
                    raise self._error(
                        label, asked, f"but the modules read from one another in a circle: {' <- '.join(back)}"
                    )
                raise self._error(
                    label,
                    asked,
                    f"which {tag.label!r} makes later on path {path!r}; put {tag.label!r} before {label!r}",
                )
            others = [name for name, steps in self._job.paths.items() if any(s.label == tag.label for s in steps)]
            raise self._error(
                label,
                asked,
                f"which {tag.label!r} makes on path {', '.join(others)!r}, not on path {path!r}; "
                f"put {tag.label!r} before {label!r} on that path too",
            )
        if in_input or asked.optional:
            return
        if maker is not None:
            made = ", ".join(_described(p.key) for p in maker.declared_produces if p.level == asked.level)
            raise self._error(label, asked, f"which {tag.label!r} does not make; it makes {made or 'nothing'}")
        if own_label and tag.label in self._job.unused:
            raise self._error(label, asked, f"but {tag.label!r} is on no path of the job")
        for branch, reason in file.undecodable(asked.level).items():
            if _belongs(branch, tag):
                raise self._error(label, asked, f"which {file.path} holds as {branch} but cannot be decoded: {reason}")
        raise self._error(label, asked, self._what_exists(asked, keys, before, file))

    def _fits(self, label: str, maker: Module, asked: Consumption) -> None:
        made = next(
            p for p in maker.declared_produces if p.level == asked.level and p.key.matches(asked.type, asked.tag)
        )
        for name, wanted in asked.facts.items():
            found = made.facts.get(name, wanted)
            if not _alike(found, wanted):
                raise self._error(
                    label, asked, f"which {asked.tag.label!r} makes with {name} {found}; it needs {name} {wanted}"
                )

    def _puts(self, maker: Module, asked: Consumption) -> bool:
        return any(_answers(p, asked) for p in maker.declared_produces)

    def _reads_from(self, label: str, target: str, seen: list[str]) -> list[str]:
        """The chain of labels by which ``label`` reads from ``target``; empty if it does not."""
        if label == target:
            return [*seen, label]
        if label in seen or label not in self._modules:
            return []
        for asked in self._modules[label].declared_consumes:
            maker = self._modules.get(asked.tag.label)
            if maker is not None and asked.tag.process in ("", self._job.process) and self._puts(maker, asked):
                chain = self._reads_from(asked.tag.label, target, [*seen, label])
                if chain:
                    return chain
        return []

    def _what_exists(
        self, asked: Consumption, keys: Sequence[ProductKey], before: Sequence[str], file: InputFile
    ) -> str:
        put = [p.key for label in before for p in self._modules[label].declared_produces if p.level == asked.level]
        everything = [*keys, *put]
        tags = {str(key.tag) for key in everything if key.type == asked.type}
        text = f"which neither {file.path} nor a module before it has; "
        if tags:
            short = {str(InputTag(t.label, t.instance)) for t in map(InputTag.parse, tags)}
            given = str(asked.tag)
            return text + valid_choices(given, tags if asked.tag.process else short)
        others = sorted({_described(key) for key in everything})
        more = f", ... ({len(others)} in all)" if len(others) > _SHOWN else ""
        return text + f"no {asked.type} there, but " + (", ".join(others[:_SHOWN]) or "no product at all") + more

    def _error(self, label: str, asked: Consumption, text: str) -> ConfigurationError:
        entry = self._job.modules[label]
        level = "" if asked.level == "event" else f" of the {asked.level}"
        return ConfigurationError(
            f"{at(key_of_tag(entry, asked.tag), self._job.origin)}: {label} ({entry.module_type}) reads "
            f"{asked.type} '{asked.tag}'{level}, {text}"
        )


def key_of_tag(entry: Entry, tag: InputTag) -> str:
    """Full name of the parameter that gives a module this tag; the module's own where it is a default."""

    def search(value: Any, key: str) -> str | None:
        if isinstance(value, Mapping):
            return next(filter(None, (search(v, f"{key}.{k}") for k, v in value.items())), None)
        if isinstance(value, list):
            return next(filter(None, (search(v, f"{key}[{i}]") for i, v in enumerate(value))), None)
        if isinstance(value, str):
            try:
                return key if InputTag.parse(value) == tag else None
            except ValueError:
                return None
        return None

    return search(entry.values, entry.key) or entry.key


def _answers(made: Production, asked: Consumption) -> bool:
    return made.level == asked.level and made.key.matches(asked.type, asked.tag)


def _alike(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) or isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-4)
    return bool(found == wanted)


def _described(key: ProductKey) -> str:
    return f"{key.type} {key.tag}"


def _belongs(branch: str, tag: InputTag) -> bool:
    """Whether a branch name ``<class>_<label>_<instance>_<process>.`` (any class) answers to a tag."""
    head, _, process = branch.rstrip(".").rpartition("_")
    return head.endswith(f"_{tag.label}_{tag.instance}") and tag.process in ("", process)
