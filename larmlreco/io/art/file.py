"""The reader of art-ROOT files."""

import contextlib
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uproot

from larmlreco.errors import InputError, valid_choices
from larmlreco.io.art import history
from larmlreco.io.art.branches import Source, source
from larmlreco.io.art.decoder import DamagedError, UndecodableError
from larmlreco.io.art.streamer import Classes
from larmlreco.io.art.translate import Links, Target, Translation, item_class, translation, wrapped_class
from larmlreco.io.reader import BranchSummary, EventInfo, IDs, Level, ProcessRecord
from larmlreco.io.rootfile import first_line, open_root, truncation
from larmlreco.products import Product, ProductKey

_TREES: Mapping[Level, str] = {"event": "Events", "subrun": "SubRuns", "run": "Runs"}
_AUXILIARIES: Mapping[Level, str] = {
    "event": "EventAuxiliary", "subrun": "SubRunAuxiliary", "run": "RunAuxiliary"
}  # fmt: skip
_ID_MEMBERS: Mapping[Level, tuple[str, ...]] = {
    "event": ("id_.subRun_.run_.run_", "id_.subRun_.subRun_", "id_.event_"),
    "subrun": ("id_.run_.run_", "id_.subRun_"),
    "run": ("id_.run_",),
}
_Records = tuple[IDs, npt.NDArray[np.bool_], npt.NDArray[np.uint64]]
"""Ids, whether real data, time; the latter two for events only."""
_DATABASE = "RootFileDB"
_BRANCH_NAME = re.compile(r"([^_]+)_([^_]+)_(.*)_([^_]+)\.\Z")


class _Branch:
    """A product branch: what it holds and, if it can be read, as which product and how."""

    def __init__(self, branch: Any, class_name: str) -> None:
        self.name = str(branch.name)
        self.class_name = class_name
        self.branch = branch
        self.reason = ""
        self.key: ProductKey | None = None
        self.translation: Translation | None = None
        self.source: Source | None = None


class ArtFile:
    """A file that art's RootOutput wrote; implements :class:`larmlreco.io.reader.Reader`.

    ``path`` is a path or an address of any protocol that uproot opens; ``file`` its top directory where it is open
    already. One basket of each branch that is read stays in memory.

    Products are called by the label, instance and process of their branch. Where a module put several that become
    the same product (links between different classes, feature vectors of different length), the class is appended
    to their instance, as in ``pandora:SpacePointHit``. The links of an ``art::Assns<A,B>`` have A on the left.

    Raises ``InputError`` for a file that cannot be opened, is truncated, has no tree ``Events``, or is not of art.
    """

    def __init__(self, path: str | Path, file: Any = None) -> None:
        self._path = str(path)
        self._file = open_root(path) if file is None else file
        cut = truncation(self._file)
        if cut:
            raise InputError(f"input {path} is truncated: {cut}")
        with self._reading("the list of classes (TStreamerInfo)"):
            self._classes = Classes.from_streamers(_streamers(self._file.file))
        self._trees: dict[Level, Any] = {}
        self._products: dict[Level, list[_Branch]] = {}
        self._records: dict[Level, _Records] = {}
        for level, name in _TREES.items():
            with self._reading(f"tree {name}"):
                tree = self._file.get(name)
            if tree is None or tree.classname != "TTree":
                kinds = self._file.classnames(recursive=False, cycle=False)
                there = ", ".join(f"{name} ({kind})" for name, kind in sorted(kinds.items()))
                raise InputError(f"input {path} has no TTree {name}, so it is not of art; it has: {there or 'nothing'}")
            self._trees[level] = tree
            if _AUXILIARIES[level] not in [b.name for b in tree.branches]:
                raise InputError(
                    f"input {path}: tree {name} has no branch {_AUXILIARIES[level]}, so it is not of art; "
                    f"it has: {', '.join(b.name for b in tree.branches) or 'nothing'}"
                )
        for level in _TREES:
            self._products[level] = self._find_products(level)

    # -- what there is

    def _find_products(self, level: Level) -> list[_Branch]:
        found = []
        for branch in self._trees[level].branches:
            if branch.name == _AUXILIARIES[level]:
                continue
            with self._reading(f"tree {_TREES[level]}, branch {branch.name}"):
                one = _Branch(branch, str(branch.member("fClassName", none_if_missing=True) or branch.typename))
            found.append(one)
            try:
                inner = wrapped_class(one.class_name)
                one.translation = translation(inner, self._classes)
                one.source = self._source(level, branch)
                one.key = self._key(one, one.translation)
            except UndecodableError as error:
                one.reason = str(error)
        by_key: dict[ProductKey, list[_Branch]] = {}
        for one in found:
            if one.key is not None:
                by_key.setdefault(one.key, []).append(one)
        for key, several in by_key.items():
            if len(several) > 1:
                for one in several:
                    instance = key.instance + _short(wrapped_class(one.class_name))
                    one.key = ProductKey(key.type, key.label, instance, key.process)
        return found

    def _source(self, level: Level, branch: Any) -> Source:
        """The source of a product branch; another reader of the same files has its own."""
        return source(branch, self._classes)

    def _key(self, branch: _Branch, made: Translation) -> ProductKey:
        known = self._registry.get(branch.name)
        match = _BRANCH_NAME.match(branch.name)
        try:
            if known is not None:
                return ProductKey(made.product.__name__, known.label, known.instance, known.process)
            if match is None:
                raise ValueError(f"{branch.name} is not a name that art gives")
            return ProductKey(made.product.__name__, match[2], match[3], match[4])
        except ValueError as error:
            raise UndecodableError(str(error)) from error

    @cached_property
    def _registry(self) -> dict[str, history.Description]:
        """Descriptions of all products by branch name, those that this file does not keep too."""
        tree = self._metadata("ProductRegistry")
        with self._reading("tree MetaData, branch ProductRegistry"):
            return {} if tree is None else history.registry(tree)

    def _metadata(self, name: str) -> Any:
        with self._reading(f"tree MetaData, branch {name}"):
            tree = self._file.get("MetaData")
            branch = None if tree is None else tree.get(name)
            if branch is None or branch.num_entries == 0:
                return None
            return source(branch, self._classes).read(0)

    @cached_property
    def _links(self) -> Links:
        targets = {}
        keys = {b.name: b.key for branches in self._products.values() for b in branches}
        classes = {b.name: b.class_name for branches in self._products.values() for b in branches}
        for name, key in keys.items():
            branch = key.branch if key is not None else name.rstrip(".")
            # art numbers a product by the checksum of its branch name
            with contextlib.suppress(UndecodableError):
                targets[zlib.crc32(name.encode())] = Target(item_class(wrapped_class(classes[name])), branch)
        for known in self._registry.values():
            target = targets.get(zlib.crc32(known.branch.encode()))
            branch = target.branch if target is not None else known.branch.rstrip(".")
            targets[known.product_id] = Target(item_class(known.class_name), branch)
        return Links(targets, lambda: self._parameter_sets)

    @property
    def path(self) -> str:
        """What was opened."""
        return self._path

    @property
    def complete(self) -> bool:
        """True: art gives a file its list of objects only when it closes it, and without one it does not open."""
        return True

    @property
    def n_events(self) -> int:
        """Number of events."""
        return int(self._trees["event"].num_entries)

    @property
    def event_ids(self) -> IDs:
        """(run, subrun, event) of every event, in file order."""
        return self._ids("event")

    @property
    def subrun_ids(self) -> IDs:
        """(run, subrun) of every subrun record, in file order."""
        return self._ids("subrun")

    @property
    def run_ids(self) -> IDs:
        """(run,) of every run record, in file order."""
        return self._ids("run")

    def keys(self, level: Level = "event") -> list[ProductKey]:
        """Products that can be read."""
        return [one.key for one in self._products[level] if one.key is not None]

    def branches(self, level: Level = "event") -> list[BranchSummary]:
        """All product branches, those that cannot be decoded too."""
        return [
            BranchSummary(
                one.name, one.class_name, one.key, int(one.branch.num_entries), _stored_bytes(one.branch), one.reason
            )
            for one in self._products[level]
        ]

    def undecodable(self, level: Level = "event") -> Mapping[str, str]:
        """Branches that exist but cannot be decoded, with the reason."""
        return {one.name: one.reason for one in self._products[level] if one.reason}

    # -- ids, times, history

    def _auxiliaries(self, level: Level) -> _Records:
        if level not in self._records:
            name = _AUXILIARIES[level]
            ids, real, time = [], [], []
            with self._reading(f"tree {_TREES[level]}, branch {name}"):
                for tree in source(self._trees[level][name], self._classes).all():
                    ids.append(np.stack([_member(tree, m).astype("i8") for m in _ID_MEMBERS[level]], axis=1))
                    if level == "event":
                        real.append(_member(tree, "isRealData_"))
                        high, low = _member(tree, "time_.timeHigh_"), _member(tree, "time_.timeLow_")
                        time.append((high.astype("u8") << np.uint64(32)) | low.astype("u8"))
            self._records[level] = (
                IDs(np.concatenate([np.zeros((0, len(_ID_MEMBERS[level])), "i8"), *ids])),
                np.concatenate([np.zeros(0, "?"), *real]),
                np.concatenate([np.zeros(0, "u8"), *time]),
            )
            if len(self._records[level][0]) != self._trees[level].num_entries:
                raise InputError(
                    f"input {self._path}: tree {_TREES[level]} has {self._trees[level].num_entries} entries, "
                    f"but {name} has {len(self._records[level][0])}"
                )
        return self._records[level]

    def _ids(self, level: Level) -> IDs:
        return self._auxiliaries(level)[0]

    def event_info(self, entry: int) -> EventInfo:
        """The event record of one entry."""
        _, real, time = self._auxiliaries("event")
        return EventInfo(bool(real[entry]), int(time[entry]))

    @cached_property
    def process_history(self) -> Sequence[ProcessRecord]:
        """Processes that made the file, the earliest first."""
        tree = self._metadata("ProcessHistoryMap")
        with self._reading("tree MetaData, branch ProcessHistoryMap"):
            return [] if tree is None else history.processes(tree)

    @cached_property
    def configurations(self) -> Mapping[str, str]:
        """FHiCL text of the configuration of each process, as far as the file holds it."""
        sets = self._parameter_sets
        with self._reading(_DATABASE):
            return {
                p.name: history.expanded(p.parameter_set_id, sets)
                for p in self.process_history
                if p.parameter_set_id in sets
            }

    @cached_property
    def _parameter_sets(self) -> Mapping[str, str]:
        """FHiCL text of every parameter set of the file by hexadecimal id."""
        with self._reading(_DATABASE):
            keys = [k for k in self._file.keys(recursive=False) if k.split(";")[0] == _DATABASE]
            if not keys:
                return {}
            key = self._file.key(keys[0])
            start = key.fSeekKey + key.fKeylen
            database = bytes(self._file.file.source.chunk(start, key.fSeekKey + key.fNbytes).raw_data)
            return history.parameter_sets(database)

    # -- products

    def read(self, entry: int, key: ProductKey, level: Level = "event") -> Product | None:
        """One product of one entry; ``None`` where art stored that the event has none.

        Raises ``InputError`` for an unknown key, and for content that is damaged or not finite, naming the file,
        tree, branch and entry.
        """
        one = next((b for b in self._products[level] if b.key == key), None)
        if one is None or one.source is None or one.translation is None:
            present = valid_choices(f"{key.type} {key.tag}", (f"{k.type} {k.tag}" for k in self.keys(level)))
            raise InputError(f"input {self._path}: tree {_TREES[level]} has no {key.type} {key.tag}; {present}")
        if not 0 <= entry < self._trees[level].num_entries:
            raise IndexError(f"entry {entry} of {self._path}, tree {_TREES[level]}")
        with self._reading(f"tree {_TREES[level]}, branch {one.name}, entry {entry}", level, entry):
            wrapper = one.source.read(entry)
            if not bool(_member(wrapper, "present")[0]):
                return None
            return one.translation.make(wrapper["obj"], self._links)

    @contextlib.contextmanager
    def _reading(self, what: str, level: Level = "event", entry: int | None = None) -> Iterator[None]:
        try:
            yield
        except (InputError, MemoryError):
            raise
        except Exception as error:
            if entry is not None:
                with contextlib.suppress(InputError):
                    what += f" ({level} {':'.join(map(str, self._ids(level)[entry]))})"
            known = isinstance(error, DamagedError | UndecodableError)
            reason = str(error) if known else f"it is damaged: {first_line(error)}"
            raise InputError(f"input {self._path}: {what}: {reason}") from error

    def close(self) -> None:
        """Release the file."""
        self._file.file.close()


def _member(tree: Any, path: str) -> npt.NDArray[Any]:
    """A number by its dotted path; an id may lie a level deeper, in a class that holds nothing else."""
    for part in path.split("."):
        if part not in tree:
            raise DamagedError(f"it has no member {path}")
        tree = tree[part]
    while isinstance(tree, dict) and len(tree) == 1:
        (tree,) = tree.values()
    return np.asarray(tree)


def _short(class_name: str) -> str:
    """Letters and digits of a class name without namespaces, to tell instances apart."""
    name = re.sub(r"\bart::Assns\b|\bvoid\b|\bvector\b|[A-Za-z0-9_]+::", "", class_name)
    return re.sub(r"[^A-Za-z0-9]", "", name)


def _stored_bytes(branch: Any) -> int:
    return int(branch.compressed_bytes) + sum(_stored_bytes(b) for b in branch.branches)


def _streamers(file: Any) -> list[Any]:
    """All TStreamerInfo of a file; uproot's own list keeps only one where two have the same version."""
    seek = file.fSeekInfo
    if seek == 0:
        return []
    chunk = file.chunk(seek, min(seek + file.fNbytesInfo, file.fEND))
    key = uproot.reading.ReadOnlyKey(chunk, uproot.source.cursor.Cursor(seek), {}, file, file)
    content, cursor = key.get_uncompressed_chunk_cursor()
    listed = uproot.models.TList.Model_TList.read(content, cursor, {}, file, file.detached, None)
    return [x for x in listed if isinstance(x, uproot.streamers.Model_TStreamerInfo)]
