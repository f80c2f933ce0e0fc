"""FHiCL text to parameters.

The grammar is that of fhicl-cpp 4.18 as its ``fhicl-dump`` accepts it, fine points included: a quoted string, ``true``
or ``@nil`` must be followed by white space, a comma or a closing bracket; a comment may follow a number directly. It is
written by hand because values depend on what was parsed before (``@local::``), because what cannot continue must fail
at the place that a user of art knows, and because a job of thousands of lines is to be read at once. Containers are
kept on a stack of our own, so that nesting has no limit.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from larmlreco.framework.fhicl.canonical import canonical_number, unescape
from larmlreco.framework.fhicl.document import Document, Path, spell
from larmlreco.framework.fhicl.nodes import Kind, Node, Protection
from larmlreco.framework.fhicl.source import Source

# What must not follow a token: graphic characters but a few, so the classes spell the complement of the few.
_AFTER_WORD = r"(?![!-+\--\\^-|~])"  # allowed: , ] }
_AFTER_INFINITY = r"(?![!-(*+\--\\^-|~])"  # allowed: , ] } )
_AFTER_NUMBER = r'(?![!"$-(*+\-.0-\\^-|~])'  # allowed: # / , ] } )
_AFTER_DIGIT_STRING = r'(?![!"$-+\-.0-\\^-|~])'  # allowed: # / , ] }
_AFTER_NAME = r'(?![!"$-+\-0-9;-Z\\^-|~])'  # allowed: # / , ] } . [ :

_NAME_TEXT = rf"[A-Za-z_][A-Za-z0-9_]*{_AFTER_NAME}"
_NUMBER_TEXT = (
    rf"(?P<integer>[0-9]+{_AFTER_NUMBER})"
    rf"|(?P<infinity>[+-]?infinity{_AFTER_INFINITY})"
    rf"|(?P<real>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?{_AFTER_NUMBER})"
    rf"|(?P<based>0(?:[xX][0-9a-fA-F]+|[bB][01]+){_AFTER_NUMBER})"
)
_QUOTED_TEXT = r'(?:\\"|[^"\\]|\\(?!"))*'
_STRING = re.compile(rf"'[^']*'|\"{_QUOTED_TEXT}\"")
_SKIP = re.compile(r"(?:[ \t\n\v\f\r]+|#[^\n]*\n|//[^\n]*\n)*")
_NAME = re.compile(_NAME_TEXT)
_INDEX = re.compile(rf"[0-9]+{_AFTER_NUMBER}")
_NUMBER = re.compile(_NUMBER_TEXT)
_ATOM = re.compile(
    rf"(?P<nil>@nil{_AFTER_WORD})"
    rf"|(?P<boolean>(?:true|false){_AFTER_WORD})"
    rf"|{_NUMBER_TEXT}"
    rf"|(?P<word>{_NAME_TEXT}|[0-9]+[A-Za-z_][A-Za-z0-9_]*{_AFTER_DIGIT_STRING})"
    rf"|'(?P<raw>[^']*)'{_AFTER_WORD}"
    rf'|"(?P<quoted>{_QUOTED_TEXT})"{_AFTER_WORD}'
)
# A backslash before a quote always hides it in FHiCL, even an escaped one, so that no string can end in a backslash.
_OWN_QUOTED = re.compile(rf'"(?P<quoted>(?:\\.|[^"\\])*)"{_AFTER_WORD}', re.DOTALL)
_TABLE_ID = re.compile(rf"[0-9a-fA-F]{{40}}{_AFTER_NUMBER}")
_MODIFIERS = {"@protect_ignore:": Protection.IGNORE, "@protect_error:": Protection.ERROR}
_UNQUOTED = re.compile(r"[^\s,\]})]+")
_TOKEN = re.compile(r"[A-Za-z0-9_@]+|\S")
_BEGIN = "BEGIN_PROLOG"
_END = "END_PROLOG"


@dataclass
class _Sequence:
    start: int
    elements: list[Node]
    complete: bool = True  # whether the sequence may end here
    comma: int = -1  # the place after the last comma


@dataclass
class _Table:
    start: int
    members: dict[str, Node]
    name: str = ""
    protection: Protection = Protection.NONE
    assignment: int = -1


def parse(source: Source, strict: bool = True) -> Document:
    """Read the whole text. Raises FhiclError, which names file, line and cause, where art would refuse it.

    Without ``strict``, every backslash escapes, also the one before a closing quote, and characters beyond ASCII are
    read: this reads all that we can dump.
    """
    return _Parser(source, strict).document()


class _Parser:
    def __init__(self, source: Source, strict: bool) -> None:
        self._source = source
        self._text = source.text
        self._at = 0
        self._strict = strict
        self._document = Document(source)

    def document(self) -> Document:
        if self._strict and not self._text.isascii():
            at = next(i for i, character in enumerate(self._text) if not character.isascii())
            self._source.fail(at, f"{self._text[at]!r} is not an ASCII character; FHiCL has no other, even in comments")
        self._skip()
        while self._text.startswith(_BEGIN, self._at):
            self._prolog()
        while self._statement():
            pass
        if self._at < len(self._text):
            self._refuse_statement()
        return self._document

    def _prolog(self) -> None:
        begin = self._at
        self._at += len(_BEGIN)
        self._document.in_prolog = True
        self._skip()
        while self._statement():
            pass
        if not self._text.startswith(_END, self._at):
            if self._at >= len(self._text):
                self._fail(f"{_END} is missing: the prolog began at {self._source.where(begin)}")
            self._refuse_statement()
        self._at += len(_END)
        self._document.in_prolog = False
        self._skip()

    def _refuse_statement(self) -> NoReturn:
        """Tell why what stands here is no statement."""
        text, at = self._text, self._at
        if text.startswith(_BEGIN, at):
            inside = self._document.in_prolog
            self._fail("a prolog cannot hold another" if inside else "a prolog must come before all other parameters")
        if text.startswith(_END, at):
            self._fail(f"{_END} without {_BEGIN}")
        if text[at].isdigit():
            self._fail(f"expected a name, which cannot start with a digit, found {self._found()}")
        path = self._qualified_name()
        if path is None:
            hint = "" if text.startswith("@", at) else "; text that is no word needs quotes"
            self._fail(f"expected 'name: value', found {self._found()}{hint}")
        name, binding = spell(path), self._skip()
        for word in _MODIFIERS:
            if text.startswith(word, binding):
                self._fail(f"expected a value after '{name} {word}', found {self._found(binding + len(word))}", at)
            if text.startswith(word[:-1], binding):
                self._fail(f"expected ':' directly after '{name} {word[:-1]}'", at)
        if text.startswith("@", binding):
            choices = " or ".join(f"'{name} {word} value'" for word in _MODIFIERS)
            self._fail(f"expected '{name}: value', {choices}, found {self._found(binding)} after the name", at)
        self._fail(f"expected ':' after {name!r}, found {self._found(binding)}", at)

    def _skip(self) -> int:
        match = _SKIP.match(self._text, self._at)
        assert match is not None  # it matches nothing, too
        self._at = match.end()
        return self._at

    def _found(self, at: int | None = None) -> str:
        """What stands there after white space and comments, for messages."""
        blank = _SKIP.match(self._text, self._at if at is None else at)
        match = _TOKEN.match(self._text, blank.end() if blank else 0)
        return repr(match.group()[:40]) if match else "the end of the job"

    def _fail(self, cause: str, at: int | None = None) -> NoReturn:
        self._source.fail(self._at if at is None else at, cause)

    def _statement(self) -> bool:
        """One statement outside braces; false, and nothing consumed, where none begins."""
        start = self._at
        if self._text.startswith("@table::", start):
            self._at += len("@table::")
            self._document.splice(self._reference(), start)
            self._skip()
            return True
        path = self._qualified_name()
        if path is None:
            return False
        protection = self._binding()
        if protection is not None:
            place = self._skip()
            node = self._value()
            if node is not None:
                self._document.assign(path, protection, node, start)
                self._skip()
                return True
            if protection is Protection.NONE:
                self._expect_erase(place)
                self._document.erase(path, start)
                self._skip()
                return True
        self._at = start
        return False

    def _qualified_name(self) -> Path | None:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return None
        path: list[str | int] = [match.group()]
        self._at = match.end()
        while True:
            after_name = self._at
            character = self._text[self._skip() : self._at + 1]
            if character == ".":
                self._at += 1
                match = _NAME.match(self._text, self._skip())
                if match is None:
                    self._fail(f"expected a name after '.', found {self._found()}")
                else:
                    path.append(match.group())
                    self._at = match.end()
            elif character == "[":
                self._at += 1
                match = _INDEX.match(self._text, self._skip())
                if match is None:
                    self._fail(f"expected an index, which is a number from 0, found {self._found()}")
                else:
                    path.append(int(match.group()))
                    self._at = match.end()
                    if not self._text.startswith("]", self._skip()):
                        self._fail(f"expected ']' after the index, found {self._found()}")
                    self._at += 1
            else:
                self._at = after_name
                return tuple(path)

    def _binding(self) -> Protection | None:
        """``:`` or a modifier with its colon; nothing may stand between these two."""
        at = self._skip()
        if self._text.startswith(":", at):
            self._at += 1
            return Protection.NONE
        for word, protection in _MODIFIERS.items():
            if self._text.startswith(word, at):
                self._at += len(word)
                return protection
        return None

    def _expect_erase(self, at: int) -> None:
        self._at = at
        if not self._text.startswith("@erase", at):
            self._refuse_value()
        self._at += len("@erase")

    def _refuse_value(self) -> NoReturn:
        text, at = self._text, self._at
        string = _STRING.match(text, at)
        if string is not None:
            after = repr(text[string.end() : string.end() + 1])
            self._fail(f"expected white space, ',', ']' or '}}' after the string, found {after}")
        if text.startswith(("'", '"'), at):
            self._fail(f"this string has no closing {text[at]}")
        for keyword in ("@protect_ignore", "@protect_error", "@sequence::", "@table::"):
            if text.startswith(keyword, at):
                self._fail(f"{keyword} cannot stand where a value is expected")
        match = _UNQUOTED.match(text, at)
        if match is not None:
            self._fail(f"expected a value, found {match.group()[:40]!r}; text that is no word needs quotes")
        self._fail(f"expected a value, found {self._found()}")

    def _reference(self) -> Path:
        path = self._qualified_name()
        if path is None:
            self._fail(f"expected a name directly after '::', found {self._found()}")
        return path

    def _value(self) -> Node | None:
        """One value with all that it holds; None, and nothing consumed, where none begins."""
        stack: list[_Sequence | _Table] = []
        node = self._begin_value(stack)
        if node is None and not stack:
            return None
        while stack:
            container = stack[-1]
            if node is not None:
                self._put(container, node)
                node = None
            self._skip()
            if isinstance(container, _Sequence):
                node = self._continue_sequence(container, stack)
            else:
                node = self._continue_table(container, stack)
        return node

    def _put(self, container: _Sequence | _Table, node: Node) -> None:
        if isinstance(container, _Sequence):
            node.protection = Protection.NONE
            container.elements.append(node)
            container.complete = True
        else:
            self._document.assign_in_table(
                container.members, container.name, container.protection, node, container.assignment
            )

    def _continue_sequence(self, sequence: _Sequence, stack: list[_Sequence | _Table]) -> Node | None:
        """Read one element, or the end; the node that is now complete, None if a container was opened."""
        text, at = self._text, self._at
        first = sequence.comma < 0 and not sequence.elements and sequence.complete
        if sequence.complete and (not first or text.startswith((",", "]"), at)):
            if text.startswith("]", at):
                return self._close(stack, Node(Kind.SEQUENCE, sequence.elements, sequence.start))
            if not text.startswith(",", at):
                self._refuse_element(sequence, "',' or ']'")
            self._at += 1
            sequence.comma = self._at
            sequence.complete = False
            self._skip()
        start = self._at
        if text.startswith("@sequence::", start):
            self._at += len("@sequence::")
            self._document.splice_into_sequence(sequence.elements, self._reference(), start)
            sequence.complete = True
            sequence.comma = max(sequence.comma, 0)  # elements have been read, be it none
            return None
        depth = len(stack)
        node = self._begin_value(stack)
        if node is None and len(stack) == depth:
            if self._at >= len(text) or text[self._at] in "]}":
                self._refuse_element(sequence, "an element" if sequence.comma > 0 else "an element or ']'")
            if sequence.comma > 0 and self._source.where(self._at) != self._source.where(sequence.comma):
                self._fail(f"expected an element after this ',', found {self._found()} below it", sequence.comma)
            self._refuse_value()
        return node

    def _refuse_element(self, sequence: _Sequence, expected: str) -> NoReturn:
        found = "no ',' may stand before ']'" if self._text.startswith("]", self._at) else f"found {self._found()}"
        at = self._at if sequence.complete or sequence.comma < 0 else sequence.comma
        self._fail(f"expected {expected} in the sequence that begins {self._since(sequence.start)}; {found}", at)

    def _continue_table(self, table: _Table, stack: list[_Sequence | _Table]) -> Node | None:
        """Read one member, or the end; the node that is now complete, None if a container was opened."""
        text, start = self._text, self._at
        if text.startswith("}", start):
            return self._close(stack, Node(Kind.TABLE, table.members, table.start))
        if text.startswith("@table::", start):
            self._at += len("@table::")
            self._document.splice_into_table(table.members, self._reference(), start)
            return None
        match = _NAME.match(text, start)
        self._at = match.end() if match else start
        protection = self._binding() if match else None
        if match is None or protection is None:
            self._at = start
            self._refuse_member(table)
        table.name, table.protection, table.assignment = match.group(), protection, start
        place = self._skip()
        depth = len(stack)
        node = self._begin_value(stack)
        if node is None and len(stack) == depth:
            if protection is not Protection.NONE:
                self._at = start
                self._refuse_member(table)
            self._expect_erase(place)
            self._document.erase_in_table(table.members, table.name, start)
        return node

    def _refuse_member(self, table: _Table) -> NoReturn:
        text, at = self._text, self._at
        if at >= len(text):
            self._fail(f"expected '}}': nothing closes the table that begins {self._since(table.start)}")
        if text.startswith(",", at):
            self._fail("expected 'name: value' or '}', found ',': members of a table are separated by white space")
        if text.startswith((_BEGIN, _END), at):
            self._fail(f"{self._found()} inside the table that begins {self._since(table.start)}")
        match = _NAME.match(text, at)
        if match is not None and text[match.end() : match.end() + 1] in (".", "["):
            self._fail(f"{match.group()!r} is followed by {text[match.end()]!r}: names in a table are not qualified")
        if match is None and text[at] in "])":
            self._fail(f"expected '}}' for the table that begins {self._since(table.start)}, found {self._found()}")
        self._refuse_statement()

    def _since(self, start: int) -> str:
        return f"at {self._source.where(start)}"

    def _close(self, stack: list[_Sequence | _Table], node: Node) -> Node:
        self._at += 1
        stack.pop()
        return node

    def _begin_value(self, stack: list[_Sequence | _Table]) -> Node | None:
        """A value that is no container; or None, with a container opened on the stack where one begins."""
        at = self._at
        match = None if self._strict else _OWN_QUOTED.match(self._text, at)
        match = match or _ATOM.match(self._text, at)
        if match is not None:
            self._at = match.end()
            return self._atom(match, at)
        character = self._text[at : at + 1]
        if character == "{":
            self._at += 1
            stack.append(_Table(at, {}))
        elif character == "[":
            self._at += 1
            stack.append(_Sequence(at, []))
        elif character == "(":
            return self._complex()
        elif character == "@":
            return self._keyword_value()
        return None

    def _atom(self, match: re.Match[str], at: int) -> Node:
        kind = match.lastgroup
        text = match.group()
        if kind == "word":
            return Node(Kind.STRING, text, at)
        if kind in ("quoted", "raw"):
            return Node(Kind.STRING, self._string(match.group(kind), kind, at), at)
        if kind == "boolean":
            return Node(Kind.BOOL, text == "true", at)
        if kind == "nil":
            return Node(Kind.NIL, None, at)
        return Node(Kind.NUMBER, _canonical(text), at)

    def _string(self, body: str, kind: str, at: int) -> str:
        try:
            value = unescape(body) if kind == "quoted" else body
        except ValueError as error:
            self._fail(f"unknown escape {error} in the string; valid: \\\", \\', \\\\, \\n, \\t", at)
        for character in value:
            if not character.isprintable() and character not in "\n\t":
                self._fail(f"the string holds the unprintable character {character!r}", at)
        return value

    def _complex(self) -> Node:
        start = self._at
        parts = []
        for opening in "(,":
            if not self._text.startswith(opening, self._skip()):
                self._fail(f"expected ',' and the imaginary part of a complex number, found {self._found()}")
            self._at += 1
            match = _NUMBER.match(self._text, self._skip())
            if match is None:
                self._fail(f"expected a number as part of a complex number, found {self._found()}")
            else:
                parts.append(_canonical(match.group()))
                self._at = match.end()
        if not self._text.startswith(")", self._skip()):
            self._fail(f"expected ')' after the complex number, found {self._found()}")
        self._at += 1
        return Node(Kind.COMPLEX, tuple(parts), start)

    def _keyword_value(self) -> Node | None:
        at = self._at
        if self._text.startswith("@local::", at):
            self._at += len("@local::")
            return self._document.find(self._reference(), at).used_at(at)
        if self._text.startswith("@db::", at):
            self._fail("@db:: is not available: there is no configuration database")
        if self._text.startswith("@id::", at):
            self._at += len("@id::")
            match = _TABLE_ID.match(self._text, self._at)
            if match is None:
                self._fail(f"expected 40 hexadecimal digits after '@id::', found {self._found()}")
            else:
                self._at = match.end()
                return Node(Kind.TABLE_ID, match.group(), at)
        return None


def _canonical(text: str) -> str:
    """A number that the grammar has accepted."""
    if text.endswith("infinity"):
        return text if text[0] in "+-" else "+" + text
    number = canonical_number(text)
    assert number is not None
    return number
