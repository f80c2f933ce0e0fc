"""Canonical spelling of FHiCL numbers and strings, the form that every dump holds."""

import ctypes
import re
from decimal import Decimal

from larmlreco.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
"""What can be a parameter name."""

_DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?\Z")
_PLAIN_DIGITS = 6
_LARGEST_INTEGER_EXPONENT = 18
_ESCAPES = {'"': '\\"', "'": "\\'", "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_UNESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t"}


def canonical_number(text: str) -> str | None:
    """The canonical form of a decimal, hexadecimal (``0x``) or binary (``0b``) number; None if it is not a number.

    Whole numbers of at most six digits are written out, everything else has one digit before the point and an
    exponent: ``1000000`` becomes ``1e6``, ``.5`` becomes ``5e-1``. The digits are never rounded.
    """
    prefix = text[:2].lower()
    if prefix in ("0x", "0b"):
        try:
            text = str(int(text[2:], 16 if prefix == "0x" else 2))
        except ValueError:
            return None
    match = _DECIMAL.match(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups(default="")
    digits = whole + fraction
    if not digits:
        return None
    point = _c_int(exponent) + len(whole)
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped
    sign = "-" if sign == "-" else ""
    if len(digits) <= point <= _PLAIN_DIGITS:
        return sign + digits + "0" * (point - len(digits))
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{point - 1}" if point != 1 else sign + mantissa


def _c_int(text: str) -> int:
    """An exponent as C's ``atoi`` reads it, which wraps far outside the range of any float."""
    if len(text) < 9:
        return int(text or "0")
    return ctypes.c_int(max(-(2**63), min(2**63 - 1, int(text)))).value


def number_value(text: str) -> int | float:
    """The value of a canonical number: int where it is whole and below 1e19, else float.

    ``1e6`` and ``1.`` are thus ints, as art gives them to a parameter of integer type.
    """
    if text.endswith("infinity"):
        return float(text)
    mantissa, _, exponent = text.partition("e")
    places = len(mantissa.partition(".")[2])
    power = int(exponent or "0")
    if places <= power <= _LARGEST_INTEGER_EXPONENT:
        return int(Decimal(text))
    return float(text)


def quote(value: str) -> str:
    """The string in double quotes, with the five characters escaped that FHiCL can escape.

    Raises ConfigurationError for any other control character: FHiCL has no form for it.
    """
    pieces = []
    for character in value:
        escaped = _ESCAPES.get(character, character)
        if escaped is character and not character.isprintable():
            raise ConfigurationError(f"the string {value!r} holds {character!r}, which FHiCL text cannot hold")
        pieces.append(escaped)
    return '"' + "".join(pieces) + '"'


def unescape(body: str) -> str:
    """What a double-quoted string means. Raises ValueError, naming the escape, for one that FHiCL does not know."""
    if "\\" not in body:
        return body
    pieces = []
    position = 0
    while position < len(body):
        character = body[position]
        position += 1
        if character == "\\" and position < len(body):
            character = body[position]
            position += 1
            if character not in _UNESCAPES:
                raise ValueError("\\" + character)
            character = _UNESCAPES[character]
        pieces.append(character)
    return "".join(pieces)
