"""Names of products: art's input tags, and the full key of a product in an event."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"[A-Za-z0-9]*\Z")
_INSTANCE = re.compile(r"[A-Za-z0-9_]*\Z")


@dataclass(frozen=True, order=True)
class InputTag:
    """art's ``label[:instance[:process]]``; an empty process matches the latest process that has the product."""

    label: str
    instance: str = ""
    process: str = ""

    @classmethod
    def parse(cls, text: str) -> "InputTag":
        """Read a tag from its text. Raises ``ValueError`` for more than three parts or forbidden characters."""
        parts = text.split(":")
        if len(parts) > 3 or not parts[0] or not _valid(*parts):
            raise ValueError(
                f"{text!r} is not an input tag; expected label[:instance[:process]] of letters and digits "
                "(underscores in the instance only)"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return ":".join((self.label, self.instance, self.process)).rstrip(":")


@dataclass(frozen=True, order=True)
class ProductKey:
    """Full name of a product: type, module label, instance, process; ``branch`` is its name in a file."""

    type: str
    label: str
    instance: str
    process: str

    def __post_init__(self) -> None:
        if not (self.type and self.label and self.process and _valid(self.label, self.instance, self.process)):
            raise ValueError(
                f"{self.type!r}, {self.label!r}, {self.instance!r}, {self.process!r} do not make a product name; "
                "expected letters and digits (underscores in the instance only)"
            )

    @property
    def tag(self) -> InputTag:
        """The tag that selects exactly this product."""
        return InputTag(self.label, self.instance, self.process)

    @property
    def branch(self) -> str:
        """``<Type>_<label>_<instance>_<process>``."""
        return f"{self.type}_{self.label}_{self.instance}_{self.process}"

    @classmethod
    def from_branch(cls, branch: str) -> "ProductKey":
        """The key of a branch name. Raises ``ValueError`` for a name that is not of the form."""
        parts = branch.split("_", 2)
        if len(parts) != 3 or "_" not in parts[2]:
            raise ValueError(f"{branch!r} is not a product branch; expected <Type>_<label>_<instance>_<process>")
        instance, process = parts[2].rsplit("_", 1)
        return cls(parts[0], parts[1], instance, process)

    def matches(self, type_name: str, tag: InputTag) -> bool:
        """Whether this product has that type and answers to that tag."""
        return (
            self.type == type_name
            and self.label == tag.label
            and self.instance == tag.instance
            and tag.process in ("", self.process)
        )


def _valid(label: str, instance: str = "", process: str = "") -> bool:
    return bool(_WORD.match(label) and _INSTANCE.match(instance) and _WORD.match(process))
