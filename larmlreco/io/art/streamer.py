"""The classes of a ROOT file, as its own TStreamerInfo describes them.

A :class:`ClassInfo` lists what one version of a class writes, member by member, in the small vocabulary of types of
this module (``CppType``). What ROOT can write but the vocabulary cannot say is :class:`Unreadable`, with the reason.
Sources: ROOT's documentation of TStreamerInfo and of the streaming of collections.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Union

CppType = Union["Basic", "Packed", "Text", "Object", "Members", "Sequence", "Headed", "Array", "Unreadable"]


@dataclass(frozen=True)
class Basic:
    """A number of a fixed size; ``dtype`` is numpy's name of it as it lies in the file ("u1" for bool too)."""

    dtype: str
    is_bool: bool = False


@dataclass(frozen=True)
class Packed:
    """``Double32_t`` or ``Float16_t`` with a range or a number of mantissa bits, as written in the comment.

    With a range the file holds an unsigned integer q, and the value is ``q / factor + minimum``; otherwise the
    file holds one byte of exponent and two of mantissa with ``bits`` bits.
    """

    dtype: str
    factor: float
    minimum: float
    bits: int


@dataclass(frozen=True)
class Text:
    """A ``std::string`` or ``TString``: its length in one byte (or 255 and four bytes), then its characters."""


@dataclass(frozen=True)
class Object:
    """An object of a class with its own header (byte count, version)."""

    name: str


@dataclass(frozen=True)
class Members:
    """An object without a header of its own, as a branch of a whole object has it: the branch tells the version."""

    name: str
    version: int
    checksum: int


@dataclass(frozen=True)
class Sequence:
    """A collection; the items of a map are pairs that have no header of their own when written one by one."""

    item: CppType
    is_map: bool = False


@dataclass(frozen=True)
class Headed:
    """A string or collection that is a member of a class: one header before it, or before a column of them."""

    content: CppType


@dataclass(frozen=True)
class Array:
    """An array of fixed length."""

    item: CppType
    length: int


@dataclass(frozen=True)
class Unreadable:
    """Something that cannot be decoded, and why."""

    reason: str


@dataclass(frozen=True)
class Element:
    """A member or a base class of a class, in the order of writing.

    A base class has ``is_base``, and its version and checksum as the derived class knew them.
    """

    name: str
    type: CppType
    is_base: bool = False
    base_version: int = 0
    base_checksum: int = 0


@dataclass(frozen=True)
class ClassInfo:
    """One version of a class."""

    name: str
    version: int
    checksum: int
    elements: tuple[Element, ...] = field(repr=False)


BASIC_TYPES = {
    1: "i1", 2: "i2", 3: "i4", 4: "i8", 5: "f4", 6: "i4", 8: "f8", 10: "i1", 11: "u1", 12: "u2", 13: "u4", 14: "u8",
    16: "i8", 17: "u8", 18: "u1",
}  # fmt: skip
_DOUBLE32, _FLOAT16, _BOOL, _BITS = 9, 19, 18, 15
_OFFSET_ARRAY = 20
_STL_TYPES = (300, 365, 500)
_NAMED = {
    "char": 1, "signed char": 1, "short": 2, "int": 3, "long": 4, "float": 5, "double": 8, "unsigned char": 11,
    "unsigned short": 12, "unsigned int": 13, "unsigned long": 14, "long long": 16, "unsigned long long": 17,
    "bool": 18, "Char_t": 1, "Short_t": 2, "Int_t": 3, "Long_t": 4, "Float_t": 5, "Double_t": 8, "UChar_t": 11,
    "UShort_t": 12, "UInt_t": 13, "ULong_t": 14, "Long64_t": 16, "ULong64_t": 17, "Bool_t": 18,
}  # fmt: skip
_SEQUENCES = {
    "vector", "list", "forward_list", "deque", "set", "multiset", "unordered_set", "unordered_multiset",
}  # fmt: skip
_MAPS = {"map", "multimap", "unordered_map", "unordered_multimap"}


def normalized(name: str) -> str:
    """A C++ type name without ``std::`` and without the spaces that do not matter."""
    name = re.sub(r"\b(?:std::|const\s+)", "", name.strip())
    return re.sub(r"\s*([<>,*&])\s*", r"\1", name)


def template_arguments(name: str) -> tuple[str, list[str]]:
    """``vector<pair<A,B>>`` as ``("vector", ["pair<A,B>"])``; a name that is no template has no arguments."""
    name = normalized(name)
    if not name.endswith(">") or "<" not in name:
        return name, []
    start = name.index("<")
    depth, last, arguments = 0, start + 1, []
    for i, c in enumerate(name):
        if c == "<":
            depth += 1
        elif c == ">":
            depth -= 1
            if depth == 0 and i != len(name) - 1:
                return name, []
        if (c == "," and depth == 1) or i == len(name) - 1:
            arguments.append(name[last:i])
            last = i + 1
    return name[:start], arguments


def named_type(name: str) -> CppType:
    """The type that a C++ name stands for, as it is written inside a collection."""
    name = normalized(name)
    if name in _NAMED:
        code = _NAMED[name]
        return Basic(BASIC_TYPES[code], code == _BOOL)
    if name == "Double32_t":
        return Packed("f8", 0.0, 0.0, 0)
    if name in ("string", "TString", "basic_string<char>"):
        return Text()
    if name.endswith("*") or "unique_ptr<" in name or "shared_ptr<" in name:
        return Unreadable(f"it holds pointers ({name})")
    head, arguments = template_arguments(name)
    if head in _SEQUENCES and arguments:
        return Sequence(named_type(arguments[0]))
    if head in _MAPS and len(arguments) >= 2:
        return Sequence(Object(f"pair<{arguments[0]},{arguments[1]}>"), is_map=True)
    if head in ("bitset", "Float16_t"):
        return Unreadable(f"collections of {head} are not supported")
    return Object(name)


def packing(title: str, is_double: bool) -> CppType:
    """How a ``Double32_t`` (``is_double``) or ``Float16_t`` is written, from ``[min,max,bits]`` in its comment."""
    dtype = "f8" if is_double else "f4"
    factor = minimum = 0.0
    bits = 0 if is_double else 12
    for group in re.findall(r"\[([^\]]*)\]", title):
        parts = [p.strip() for p in group.split(",")]
        if len(parts) not in (2, 3):
            continue
        low, high = _bound(parts[0]), _bound(parts[1])
        given = int(parts[2]) if len(parts) == 3 else 32
        if low is None or high is None:
            return Unreadable(f"the range {group!r} of a {'Double32_t' if is_double else 'Float16_t'} is not known")
        if not 2 <= given <= 32:
            given = 32
        if low < high:
            factor = (float(1 << given) if given < 32 else float(0xFFFFFFFF)) / (high - low)
            minimum = low
        elif given < 15:
            bits = given
        break
    return Packed(dtype, factor, minimum, bits)


def _bound(text: str) -> float | None:
    """A limit of a range: a number, or a multiple or fraction of pi as ROOT knows them."""
    known = {"pi": math.pi, "twopi": 2 * math.pi, "2pi": 2 * math.pi, "2*pi": 2 * math.pi, "pi/2": math.pi / 2,
             "pi/4": math.pi / 4}  # fmt: skip
    sign = -1.0 if text.startswith("-") else 1.0
    if text.lstrip("-") in known:
        return sign * known[text.lstrip("-")]
    try:
        return float(text)
    except ValueError:
        return None


def _element(streamer: Any) -> Element:
    """One TStreamerElement, as uproot reads it."""
    kind = type(streamer).__name__
    name, code = str(streamer.member("fName")), int(streamer.member("fType"))
    type_name = str(streamer.member("fTypeName"))
    length = int(streamer.member("fArrayLength"))
    if kind == "Model_TStreamerBase":
        checksum = int(streamer.member("fMaxIndex")[1]) & 0xFFFFFFFF
        version = int(streamer.member("fBaseVersion", none_if_missing=True) or 0)
        return Element(name, Object(normalized(name)), True, version, checksum)
    is_array = length > 0
    single = code - _OFFSET_ARRAY if is_array and code != 500 and code >= _OFFSET_ARRAY else code
    result: CppType
    if kind in ("Model_TStreamerSTL", "Model_TStreamerSTLstring"):
        result = _collection(streamer, type_name)
    elif single in BASIC_TYPES:
        result = Basic(BASIC_TYPES[single], single == _BOOL)
    elif single in (_DOUBLE32, _FLOAT16):
        result = packing(str(streamer.member("fTitle")), single == _DOUBLE32)
    elif kind in ("Model_TStreamerObjectAny", "Model_TStreamerObject") and not type_name.endswith("*"):
        result = Object(normalized(type_name))
    elif kind == "Model_TStreamerString":
        result = Text()
    else:
        result = Unreadable(f"its member {name} is a {type_name} (streamer code {code})")
    return Element(name, Array(result, length) if is_array else result)


def _collection(streamer: Any, type_name: str) -> CppType:
    code, content = int(streamer.member("fSTLtype")), int(streamer.member("fCtype"))
    if code > 40 and code != 365:
        return Unreadable(f"its member {streamer.member('fName')} is a pointer to a collection ({type_name})")
    result = named_type(type_name)
    if isinstance(result, Sequence) and isinstance(result.item, Object) and content in BASIC_TYPES:
        result = Sequence(Basic("i4"))  # an enumeration: has no StreamerInfo, and four bytes whatever it is based on
    if not isinstance(result, Sequence | Text):
        return Unreadable(f"its member {streamer.member('fName')} is a {type_name}, a collection of unknown kind")
    return Headed(result)


class Classes:
    """All classes that a file describes, every version of each."""

    def __init__(self, infos: Iterable[ClassInfo]) -> None:
        self._infos: dict[str, list[ClassInfo]] = {}
        for info in infos:
            self._infos.setdefault(info.name, []).append(info)
        for known in self._infos.values():
            known.sort(key=lambda info: -info.version)

    @classmethod
    def from_streamers(cls, streamers: Iterable[Any]) -> "Classes":
        """The classes of uproot's ``Model_TStreamerInfo`` objects."""
        infos = []
        for s in streamers:
            elements = tuple(_element(e) for e in s.elements)
            checksum = int(s.member("fCheckSum")) & 0xFFFFFFFF
            infos.append(ClassInfo(normalized(s.name), int(s.class_version), checksum, elements))
        return cls(infos)

    def versions(self, name: str) -> list[ClassInfo]:
        """Every description of a class, the newest version first; a pair without one is made from its name."""
        name = normalized(name)
        if name not in self._infos:
            head, arguments = template_arguments(name)
            if head != "pair" or len(arguments) != 2:
                return []
            elements = []
            for member, argument in zip(("first", "second"), arguments, strict=True):
                content = named_type(argument)
                elements.append(Element(member, Headed(content) if isinstance(content, Sequence | Text) else content))
            self._infos[name] = [ClassInfo(name, 1, 0, tuple(elements))]
        return self._infos[name]

    def find(self, name: str, *, version: int | None = None, checksum: int | None = None) -> ClassInfo | None:
        """The description with that checksum, else that version; ``None`` if the file has none."""
        known = self.versions(name)
        for info in known:
            if checksum and info.checksum == checksum:
                return info
        for info in known:
            if version is not None and info.version == version:
                return info
        return None

    def needed_by(self, name: str) -> list[str]:
        """The class and all classes that its objects contain, as far as the file describes them."""
        found: dict[str, None] = {}
        waiting: list[CppType] = [named_type(name)]
        while waiting:
            type_ = waiting.pop()
            if isinstance(type_, Headed):
                waiting.append(type_.content)
            elif isinstance(type_, Sequence | Array):
                waiting.append(type_.item)
            elif isinstance(type_, Object) and type_.name not in found:
                found[type_.name] = None
                waiting += [element.type for info in self.versions(type_.name) for element in info.elements]
        return list(found)
