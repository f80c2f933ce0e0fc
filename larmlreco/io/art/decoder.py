"""Decoding of C++ objects from the bytes that ROOT wrote, along the file's own TStreamerInfo.

For a type, a small AwkwardForth program is generated that walks once over the bytes: it follows what varies in
length (strings, collections) and copies all else in bulk. Runs of objects of one fixed size become one block of
bytes, which numpy reads as records and whose headers it checks all at once. The result is columnar.

Which version of a class lies in the bytes, whether its header carries a checksum (classes without a version), and
whether a collection is written member by member or object by object is only known from the bytes. A program is
made for one guess; where the bytes say otherwise, it stops and is made again for what they say.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union

import numpy as np
import numpy.typing as npt
from awkward.forth import ForthMachine64

from larmlreco.io.art.streamer import (
    Array,
    Basic,
    Classes,
    ClassInfo,
    CppType,
    Headed,
    Members,
    Object,
    Packed,
    Sequence,
    Text,
    Unreadable,
)

Bytes = npt.NDArray[np.uint8]
Tree = Union[npt.NDArray[Any], "dict[str, Tree]", "Jagged", "Strings"]

_BYTE_COUNT = 0x40000000
_MEMBERWISE = 0x4000
_MAX_NESTED = 30
_OWN_STREAMERS = ("TObject", "TClonesArray", "TObjArray", "TList", "TRef", "TRefArray")


class UndecodableError(Exception):
    """The type cannot be decoded; the message says why."""


class DamagedError(Exception):
    """The bytes are not what the StreamerInfo describes; the message says what and where."""


@dataclass(frozen=True)
class Jagged:
    """Lists: ``counts`` (N,) and the items of all of them one after another."""

    counts: npt.NDArray[np.int64]
    content: Tree


@dataclass(frozen=True)
class Strings:
    """Texts: ``counts`` (N,) in bytes and the characters of all of them one after another."""

    counts: npt.NDArray[np.int64]
    characters: Bytes

    def tolist(self) -> list[bytes]:
        """The texts, as bytes (art keeps binary hashes in strings)."""
        ends = np.cumsum(self.counts)
        data = self.characters.tobytes()
        return [data[e - n : e] for e, n in zip(ends.tolist(), self.counts.tolist(), strict=True)]


# -- what a program leaves behind, and how to make the result of it


@dataclass(frozen=True)
class _Column:
    output: str
    type: Basic | Packed
    length: int


@dataclass(frozen=True)
class _Lists:
    output: str
    content: "_Node"


@dataclass(frozen=True)
class _Texts:
    counts: str
    characters: str


@dataclass(frozen=True)
class _Field:
    """A piece of a record of fixed size: a value (``path``), or a part of a header with its expected value."""

    path: tuple[str, ...]
    type: Basic | Packed
    length: int = 0
    expected: int | None = None
    what: str = ""
    owner: str = ""

    @property
    def dtype(self) -> Any:
        raw = _raw_dtype(self.type)
        return (raw, (self.length,)) if self.length else raw


@dataclass(frozen=True)
class _Block:
    """Records of one fixed size, copied as bytes; the dtype has a field ``f<i>`` for each of ``fields``."""

    output: str
    fields: tuple[_Field, ...]

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype([(f"f{i}", f.dtype) for i, f in enumerate(self.fields)])

    def rows(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        size = self.dtype.itemsize
        return raw[: len(raw) // size * size].view(self.dtype)


@dataclass(frozen=True)
class _BlockColumn:
    block: _Block
    index: int


_Node = Union[_Column, _BlockColumn, _Lists, _Texts, "dict[str, _Node]"]


def _raw_dtype(type_: Basic | Packed) -> Any:
    if isinstance(type_, Basic):
        return ">" + type_.dtype
    if type_.factor:
        return ">u4"
    return np.dtype([("exponent", "u1"), ("mantissa", ">u2")]) if type_.bits else ">f4"


def _value(raw: npt.NDArray[Any], type_: Basic | Packed) -> npt.NDArray[Any]:
    """The numbers of raw file content, in native byte order."""
    if isinstance(type_, Basic):
        return raw != 0 if type_.is_bool else raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if type_.factor:
        return np.asarray(raw.astype("f8") / type_.factor + type_.minimum, dtype=type_.dtype)
    if not type_.bits:
        return raw.astype(type_.dtype)
    exponent, mantissa = raw["exponent"].astype("u4"), raw["mantissa"].astype("u4")
    magnitude = (exponent << 23) | ((mantissa & ((1 << (type_.bits + 1)) - 1)) << (23 - type_.bits))
    sign = np.where(mantissa & (1 << (type_.bits + 1)), np.float32(-1), np.float32(1))
    return np.asarray(sign * magnitude.astype("u4").view("f4"), dtype=type_.dtype)


# -- the guess about what only the bytes know


@dataclass(frozen=True)
class _Choice:
    """A version of a class, and whether its headers carry the checksum instead of the version."""

    info: ClassInfo
    with_checksum: bool


class _WrongGuess(Exception):  # noqa: N818 (control flow, not an error)
    """The bytes say otherwise: ``what`` is "version", "checksum" or "memberwise"."""

    def __init__(self, owner: str, what: str, seen: int) -> None:
        super().__init__(owner, what, seen)
        self.owner, self.what, self.seen = owner, what, seen


class _Guess:
    """Choices that a program was made for; one object for each state, shared by no two decoders."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._choices: dict[str, _Choice] = {}
        self._object_wise: frozenset[str] = frozenset()

    def choice(self, name: str) -> _Choice:
        if name not in self._choices:
            if name in _OWN_STREAMERS:
                raise UndecodableError(f"{name} writes itself in its own way")
            known = self._classes.versions(name)
            if not known:
                raise UndecodableError(f"the file describes no class {name}")
            self._choices[name] = _Choice(known[0], known[0].version <= 1)
        return self._choices[name]

    def headless(self, name: str, version: int, checksum: int) -> ClassInfo:
        """The description of a class that is written without a header."""
        info = self._classes.find(name, version=version, checksum=checksum)
        return info if info is not None else self.choice(name).info

    def member_wise(self, member: str) -> bool:
        return member not in self._object_wise

    def corrected(self, wrong: _WrongGuess) -> "_Guess":
        other = _Guess(self._classes)
        other._choices = dict(self._choices)
        other._object_wise = self._object_wise
        if wrong.what == "memberwise":
            other._object_wise = self._object_wise ^ {wrong.owner}
            return other
        if wrong.what == "version" and wrong.seen == 0:
            other._choices[wrong.owner] = _Choice(self.choice(wrong.owner).info, True)
            return other
        is_checksum = wrong.what == "checksum"
        sought = {"checksum": wrong.seen} if is_checksum else {"version": wrong.seen}
        info = self._classes.find(wrong.owner, **sought)
        if info is None:
            described = self._classes.versions(wrong.owner)
            known = ", ".join(f"{i.checksum:#x}" if is_checksum else str(i.version) for i in described)
            what = f"checksum {wrong.seen:#x}" if is_checksum else f"version {wrong.seen}"
            raise DamagedError(f"{wrong.owner} has {what}, which the file does not describe; it describes: {known}")
        other._choices[wrong.owner] = _Choice(info, is_checksum)
        return other

    def state(self) -> tuple[Any, ...]:
        return (
            tuple(sorted((n, c.info.version, c.info.checksum, c.with_checksum) for n, c in self._choices.items())),
            self._object_wise,
        )


# -- the program


class _Program:
    """AwkwardForth source for one type and one guess.

    Every piece of code takes from the stack the number of instances to read and reads as many, one after another.
    """

    def __init__(self, type_: CppType, guess: _Guess) -> None:
        self._guess = guess
        self._outputs: list[tuple[str, str]] = []
        self._sites: list[tuple[str, str]] = []
        self._blocks: list[_Block] = []
        self._within: list[str] = []  # classes that are being laid out
        self._path: list[str] = []  # and the members
        code, self.node = self._instances(type_)
        declared = "\n".join(f"output {name} {dtype}" for name, dtype in self._outputs)
        self.machine = ForthMachine64(
            f"input data\nvariable site\nvariable seen\nvariable block\n{declared}\n"
            f": fail site ! halt ;\n: mismatch site ! seen ! halt ;\n-1 block ! {code}\n"
        )

    def run(self, data: Bytes, n: int) -> Tree:
        """Read ``n`` instances, which must fill ``data``."""
        machine = self.machine
        machine.begin({"data": data if data.flags.writeable else data.copy()})  # it takes no read-only array
        if n == 0 and len(data) == 0:
            return self._result(self.node)  # an empty collection may have written no headers
        machine.stack_push(n)
        error = machine.resume(raise_user_halt=False, raise_read_beyond=False, raise_stack_overflow=False)
        # A block of records that is not what was guessed leads the program astray later: look there first.
        for block in self._blocks:
            self._check(block)
        if error == "user halt":
            owner, what = self._sites[machine["site"]]
            if what in ("version", "checksum", "memberwise"):
                raise _WrongGuess(owner, what, machine["seen"] & 0xFFFFFFFF)
            raise DamagedError(f"{owner}: {what} (near byte {machine.input_position('data')} of {len(data)})")
        if error is not None:
            if machine["block"] >= 0:
                self._check_first(self._blocks[machine["block"]], data[machine.input_position("data") :])
            raise DamagedError(f"it ends within its content, {error} (after {len(data)} bytes)")
        position = machine.input_position("data")
        if position != len(data):
            raise DamagedError(f"{len(data) - position} of {len(data)} bytes are left over")
        return self._result(self.node)

    def _output(self, name: str) -> npt.NDArray[Any]:
        return np.asarray(self.machine.output(name))

    def _check_first(self, block: _Block, data: Bytes) -> None:
        """Look for another version in the first of records that need more bytes than there are."""
        for i, f in enumerate(block.fields):
            dtype, offset = block.dtype.fields[f"f{i}"][:2]  # type: ignore[index]
            if f.what in ("version", "checksum") and offset + dtype.itemsize <= len(data):
                seen = int(data[offset : offset + dtype.itemsize].view(dtype)[0])
                if seen != f.expected:
                    raise _WrongGuess(f.owner, f.what, seen)

    def _check(self, block: _Block) -> None:
        rows = block.rows(self._output(block.output))
        if len(rows) == 0:
            return
        for i, f in enumerate(block.fields):
            if f.what in ("version", "checksum") and int(rows[f"f{i}"][0]) != f.expected:
                raise _WrongGuess(f.owner, f.what, int(rows[f"f{i}"][0]))
        for i, f in enumerate(block.fields):
            if f.expected is not None:
                bad = rows[f"f{i}"] != f.expected
                if bad.any():
                    first = int(np.argmax(bad))
                    raise DamagedError(
                        f"{f.owner}, item {first} of {len(rows)}: wrong {f.what} {int(rows[f'f{i}'][first]):#x}"
                    )

    def _result(self, node: _Node) -> Tree:
        if isinstance(node, dict):
            return {name: self._result(child) for name, child in node.items()}
        if isinstance(node, _Lists):
            return Jagged(self._output(node.output), self._result(node.content))
        if isinstance(node, _Texts):
            return Strings(self._output(node.counts), self._output(node.characters))
        if isinstance(node, _BlockColumn):
            rows = node.block.rows(self._output(node.block.output))
            return _value(rows[f"f{node.index}"], node.block.fields[node.index].type)
        raw = self._output(node.output)
        if isinstance(node.type, Packed) and node.type.bits and not node.type.factor:
            raw = raw.view(_raw_dtype(node.type))
        value = _value(raw, node.type)
        return value.reshape(-1, node.length) if node.length else value

    # pieces of code

    def _new_output(self, dtype: str) -> str:
        name = f"out{len(self._outputs)}"
        self._outputs.append((name, dtype))
        return name

    def _site(self, owner: str, what: str) -> int:
        self._sites.append((owner, what))
        return len(self._sites) - 1

    def _instances(self, type_: CppType) -> tuple[str, _Node]:
        if isinstance(type_, Unreadable):
            raise UndecodableError(type_.reason)
        if isinstance(type_, Basic | Packed):
            return self._column(type_, 0)
        if isinstance(type_, Array):
            return self._array(type_)
        if isinstance(type_, Text):
            return self._texts()
        if isinstance(type_, Object):
            return self._objects(type_.name)
        if isinstance(type_, Members):
            info = self._guess.headless(type_.name, type_.version, type_.checksum)
            code, node = self._members(info, member_wise=False)
            return f"0 do 1 {code} loop", node
        if isinstance(type_, Sequence):
            return self._lists(type_)
        return self._headed(type_)

    def _column(self, type_: Basic | Packed, length: int) -> tuple[str, _Node]:
        times = f"{length} * " if length else ""
        if isinstance(type_, Basic):
            code, dtype = _CODES[type_.dtype]
        elif type_.factor:
            code, dtype = "I", "uint32"
        elif type_.bits:
            code, dtype, times = "B", "uint8", times + "3 * "
        else:
            code, dtype = "f", "float32"
        name = self._new_output(dtype)
        return f"{times}data #!{code}-> {name}", _Column(name, type_, length)

    def _array(self, type_: Array) -> tuple[str, _Node]:
        if isinstance(type_.item, Basic | Packed):
            return self._column(type_.item, type_.length)
        counts = self._new_output("int64")
        code, node = self._instances(type_.item)
        # the items first: they end with the bytes, whereas a damaged number of arrays may be huge
        return f"dup {type_.length} * {code}\n0 do {type_.length} {counts} <- stack loop", _Lists(counts, node)

    def _texts(self) -> tuple[str, _Node]:
        counts, characters = self._new_output("int64"), self._new_output("uint8")
        bad = self._site("a string", "its length is negative")
        length = f"data B-> stack dup 255 = if drop data !i-> stack dup 0 < if {bad} fail then then"
        code = f"0 do {length} dup {counts} <- stack data #B-> {characters} loop"
        return code, _Texts(counts, characters)

    def _objects(self, name: str) -> tuple[str, _Node]:
        fields = _fixed(Object(name), (), self._guess)
        if fields is not None:
            block = _Block(self._new_output("uint8"), tuple(fields))
            self._blocks.append(block)
            tree: dict[str, _Node] = {}
            for i, f in enumerate(fields):
                if f.expected is None:
                    _put(tree, f.path, _BlockColumn(block, i))
            number = len(self._blocks) - 1
            return f"{number} block ! {block.dtype.itemsize} * data #B-> {block.output} -1 block !", tree
        choice = self._guess.choice(name)
        code, node = self._members(choice.info, member_wise=False)
        return f"0 do {self._open(name)} {self._class_version(choice)}\n1 {code}\n{self._close(name)} loop", node

    def _members(self, info: ClassInfo, member_wise: bool) -> tuple[str, "dict[str, _Node]"]:
        """The members of n objects, each member of all n in turn; without headers of bases if ``member_wise``."""
        if info.name in self._within:
            raise UndecodableError(f"{info.name} contains itself")
        self._within.append(info.name)
        pieces: list[str] = []
        tree: dict[str, _Node] = {}
        for element in info.elements:
            self._path.append(element.name)
            if element.is_base and member_wise:
                base = self._guess.headless(element.name, element.base_version, element.base_checksum)
                code, members = self._members(base, True)
                tree.update(members)
            else:
                code, node = self._instances(element.type)
                if element.is_base and isinstance(node, dict):
                    tree.update(node)
                else:
                    tree[element.name] = node
            pieces.append(f"dup {code}\n")
            self._path.pop()
        self._within.pop()
        return "".join(pieces) + "drop", tree

    def _lists(self, type_: Sequence) -> tuple[str, _Node]:
        """Lists one after another, each its length and its items one by one."""
        counts = self._new_output("int64")
        if type_.is_map and isinstance(type_.item, Object):
            pair = self._guess.choice(type_.item.name).info
            types = [e.type.content if isinstance(e.type, Headed) else e.type for e in pair.elements]
            parts = [self._instances(t) for t in types]
            code = "0 do " + " ".join(f"1 {c}" for c, _ in parts) + " loop"
            node: _Node = {e.name: n for e, (_, n) in zip(pair.elements, parts, strict=True)}
        else:
            code, node = self._instances(type_.item)
        return f"0 do {self._count(counts)} {code} loop", _Lists(counts, node)

    def _count(self, counts: str) -> str:
        bad = self._site("a collection", "its length is negative")
        return f"data !i-> stack dup 0 < if {bad} fail then dup {counts} <- stack"

    def _headed(self, type_: Headed) -> tuple[str, _Node]:
        """One header, then n strings or collections."""
        content = type_.content
        if isinstance(content, Text):
            code, node = self._texts()
            owner, version = "a string", "data !H-> stack drop"
        elif isinstance(content, Sequence):
            item = content.item
            owner = item.name if isinstance(item, Object) else "numbers"
            member = ".".join(self._path)
            flipped = self._site(member, "memberwise")
            flag = f"data !H-> stack dup {_MEMBERWISE} and 0 "
            if isinstance(item, Object) and self._guess.member_wise(member):
                choice = self._guess.choice(item.name)
                counts = self._new_output("int64")
                version = f"{flag} = if {flipped} mismatch then drop {self._class_version(choice)}"
                code, members = self._members(choice.info, member_wise=True)
                # of an empty collection nothing follows, not even the headers of its members
                code = f"0 do {self._count(counts)} dup if {code} else drop then loop"
                node = _Lists(counts, members)
            else:
                version = f"{flag} <> if {flipped} mismatch then drop"
                code, node = self._lists(content)
        else:
            raise UndecodableError(f"a member of an unknown kind, {content}")
        # the number of instances lies under the end of the bytes on the stack
        return f"{self._open(owner)} {version}\nswap {code}\n{self._close(owner)}", node

    def _open(self, owner: str) -> str:
        """Leaves on the stack the position at which the object ends."""
        bad = self._site(owner, "it has no byte count")
        return f"data !I-> stack dup {_BYTE_COUNT} < if {bad} fail then {_BYTE_COUNT} - data pos +"

    def _close(self, owner: str) -> str:
        bad = self._site(owner, "its byte count does not fit its content")
        return f"data pos <> if {bad} fail then"

    def _class_version(self, choice: _Choice) -> str:
        name = choice.info.name
        expected = 0 if choice.with_checksum else choice.info.version
        site = self._site(name, "version")
        code = f"data !H-> stack dup {expected} <> if {site} mismatch then drop"
        if choice.with_checksum:
            site = self._site(name, "checksum")
            signed = int(np.uint32(choice.info.checksum).view("i4"))  # literals of AwkwardForth have 32 bits
            code += f" data !i-> stack dup {signed} <> if {site} mismatch then drop"
        return code


_CODES = {
    "i1": ("b", "int8"), "u1": ("B", "uint8"), "i2": ("h", "int16"), "u2": ("H", "uint16"), "i4": ("i", "int32"),
    "u4": ("I", "uint32"), "i8": ("q", "int64"), "u8": ("Q", "uint64"), "f4": ("f", "float32"),
    "f8": ("d", "float64"),
}  # fmt: skip


def _put(tree: "dict[str, _Node]", path: tuple[str, ...], node: _Node) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        assert isinstance(below, dict)
        tree = below
    tree[path[-1]] = node


def _fixed(type_: CppType, path: tuple[str, ...], guess: _Guess) -> list[_Field] | None:
    """The pieces of a type whose size does not vary; ``None`` for one whose size does."""
    if isinstance(type_, Basic | Packed):
        return [_Field(path, type_)]
    if isinstance(type_, Array) and isinstance(type_.item, Basic | Packed):
        return [_Field(path, type_.item, type_.length)]
    if not isinstance(type_, Object) or len(path) > _MAX_NESTED:
        return None
    choice = guess.choice(type_.name)
    fields: list[_Field] = []
    for element in choice.info.elements:
        below = path if element.is_base else (*path, element.name)
        part = _fixed(element.type, below, guess)
        if part is None:
            return None
        fields += part
    head = [_header("u2", 0 if choice.with_checksum else choice.info.version, "version", type_.name)]
    if choice.with_checksum:
        head.append(_header("u4", choice.info.checksum, "checksum", type_.name))
    size = sum(np.dtype(f.dtype).itemsize for f in (*head, *fields))
    return [_header("u4", _BYTE_COUNT | size, "byte count", type_.name), *head, *fields]


def _header(dtype: str, expected: int, what: str, owner: str) -> _Field:
    return _Field((), Basic(dtype), expected=expected, what=what, owner=owner)


class Decoder:
    """Decodes instances of one type; keeps what it learned from the bytes for the next call.

    ``type_`` is a type of the vocabulary of :mod:`larmlreco.io.art.streamer`, ``classes`` those of the file.
    Raises :class:`UndecodableError` if the type cannot be decoded whatever the bytes are.
    """

    def __init__(self, classes: Classes, type_: CppType) -> None:
        self._type = type_
        self._guess = _Guess(classes)
        self._program = _Program(type_, self._guess)

    def __call__(self, data: Bytes, n: int = 1) -> Tree:
        """``n`` instances that fill ``data`` (uint8, one-dimensional), as columns.

        Numbers are arrays of the shape (N,) or (N, length of the array); a class is a dict of its members, those
        of its base classes among them; collections are :class:`Jagged`. Raises :class:`DamagedError` if the bytes
        are not exactly ``n`` instances, :class:`UndecodableError` for a version that cannot be decoded.
        """
        guess, program = self._guess, self._program
        tried = {guess.state()}
        while True:
            try:
                tree = program.run(data, n)
            except _WrongGuess as wrong:
                guess = guess.corrected(wrong)
                if guess.state() in tried:
                    raise DamagedError(f"{wrong.owner}: {wrong.what} {wrong.seen:#x} where another is due") from None
                tried.add(guess.state())
                program = _Program(self._type, guess)
            else:
                self._guess, self._program = guess, program
                return tree
