"""Text to plain values that know their line: YAML as its version 1.2 reads it, whatever PyYAML makes of it.

PyYAML scans (in C where it can); everything that gives scalars a meaning happens here, by the core schema of YAML 1.2.2,
section 10.3: `10:30` and `2026-01-01` are strings. What kubectl, whose YAML is nearer to 1.1, would read otherwise (`yes`,
`017`, `1_000`) is refused until it is quoted. Keys stand once and are strings. No tag makes an object, numbers are finite, and
aliases can't blow a small file up. Nothing here knows what the documents mean.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import yaml

from aftershock.model.problem import Problem, printable, written

LARGEST = 1_500_000
"""Bytes of a file: more than that no API server would store."""
DEEPEST = 64
"""Levels of lists and mappings."""
MOST = 20_000
"""Values in a file, aliases counted as often as they are used."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


def _whole(text: str, base: int) -> int:
    """Read an integer; of one that is far too long its beginning, which is too long as well (int() takes no 5,000 digits)."""
    size = int(text.lstrip("+-").lstrip("0")[:64] or "0", base)
    return -size if text.startswith("-") else size


_SCALARS: tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...] = (
    ("null", re.compile(r"null|Null|NULL|~|"), lambda _: None),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text in ("true", "True", "TRUE")),
    ("int", re.compile(r"[-+]?[0-9]+"), lambda text: _whole(text, 10)),
    ("int", re.compile(r"0o[0-7]+"), lambda text: _whole(text[2:], 8)),
    ("int", re.compile(r"0x[0-9a-fA-F]+"), lambda text: _whole(text[2:], 16)),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)

_ELSEWHERE = (
    ("true or false", re.compile(r"[yY]|yes|Yes|YES|[nN]|no|No|NO|on|On|ON|off|Off|OFF")),
    ("another number", re.compile(r"[-+]?0[0-9_]+")),
    ("a number", re.compile(r"[-+]?0[bB][01_]+|[-+]?0O[0-7_]+|[-+]?0X[0-9a-fA-F_]+|[-+]0o[0-7_]+|[-+]0x[0-9a-fA-F_]+")),
    ("a number", re.compile(r"0x[0-9a-fA-F]*_[0-9a-fA-F_]*|0o[0-7]*_[0-7_]*")),
    ("a number", re.compile(r"(?=[^_]*_)[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?")),
)
"""What kubectl would take a plain scalar for that is something else here."""


class Node(msgspec.Struct, frozen=True):
    """A value and where it stands (`line` and `column` count from 1; None for a tree that stood in no file).

    `value` is None, a bool, int, float or str, a list of nodes, or a dict of nodes by key; `keys` has the keys' own lines.
    `broken`: it could not be read and has been reported.
    """

    value: Any
    line: int | None = None
    column: int | None = None
    keys: dict[str, int | None] = msgspec.field(default_factory=dict)
    size: int = 1
    broken: bool = False

    def plain(self) -> Any:
        """Return the value without positions, as JSON has it."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def node_of(tree: object) -> Node:
    """Give a plain tree the shape of a document that stood in no file."""
    if isinstance(tree, dict):
        return Node({str(key): node_of(value) for key, value in tree.items()})
    if isinstance(tree, list | tuple):
        return Node([node_of(value) for value in tree])
    return Node(tree)


def read(text: str, name: str) -> tuple[list[tuple[Node, bool]], list[Problem]]:
    """Return the documents of `text`, each with whether it is sound, and what is wrong.

    `name` is what problems call the file. What stands before a syntax error is returned; what follows it can't be.
    """
    reader = _Reader(name)
    documents: list[tuple[Node, bool]] = []
    if strange := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, strange.start()) + 1
        reader.report(line, f"a character that YAML forbids ({strange[0]!a})", "write the file as plain UTF-8 text")
        return documents, reader.problems
    reported = 0
    try:
        for document in reader.documents(iter(yaml.parse(text, Loader=_LOADER))):
            documents.append((document, len(reader.problems) == reported))
            reported = len(reader.problems)
    except _Stop:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.report(mark.line + 1 if mark else None, *_told(error, text))
    except yaml.YAMLError as error:
        reader.report(None, f"not YAML: {_first_line(error)}", "write the file as plain UTF-8 text")
    return documents, reader.problems


class _Stop(Exception):
    """The rest of the file can't be read; why has been reported."""


def _told(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """Say what is wrong with the syntax, and what would do."""
    mark = error.problem_mark
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return "not YAML: a tab in front of a value", "indent with spaces"
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"not YAML: {said or _first_line(error)}", "check indentation, colons and quotes there"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Reader:
    """Composes one file's events into nodes; keeps its anchors, its size and its problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}  # None while what the anchor names is still being read
        self.total = 0
        self.path: list[str | int] = []

    def report(self, line: int | None, message: str, advice: str) -> None:
        self.problems.append(Problem(self.name, line, written(tuple(self.path)), message, advice))

    def stop(self, line: int | None, message: str, advice: str) -> _Stop:
        self.report(line, message, advice)
        return _Stop()

    def documents(self, events: Iterator[Any]) -> Iterator[Node]:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors = {}
                self.path = []
                node = self.node(next(events), events, 0)
                if node.value is not None or node.broken:  # `---` twice in a row is no document
                    yield node

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if depth > DEEPEST:
            raise self.stop(line, f"more than {DEEPEST} levels deep", "write it flatter")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event.anchor, line, column)
        if event.anchor:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event, line, column)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, events, depth)
        else:
            node = self.mapping(event, events, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        self.count(1, line)
        return node

    def count(self, values: int, line: int) -> None:
        self.total += values
        if self.total > MOST:
            raise self.stop(line, f"more than {MOST} values, aliases counted", "use fewer aliases, or several files")

    def alias(self, anchor: str | None, line: int, column: int) -> Node:
        if anchor is None or anchor not in self.anchors:
            self.report(line, f"`*{anchor}` stands for nothing", f"name something `&{anchor}` before it")
        elif (node := self.anchors[anchor]) is None:
            self.report(line, f"`*{anchor}` stands within itself", "write out what is meant")
        else:
            self.count(node.size, line)
            return Node(node.value, line, column, node.keys, node.size, node.broken)
        return Node(None, line, column, broken=True)

    def sequence(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        items: list[Node] = []
        for item in events:
            if isinstance(item, yaml.SequenceEndEvent):
                break
            self.path.append(len(items))
            items.append(self.node(item, events, depth + 1))
            self.path.pop()
        broken = self.tag_is_wrong(event, "seq", line)
        return Node(items, line, column, size=1 + sum(item.size for item in items), broken=broken)

    def mapping(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        values: dict[str, Node] = {}
        keys: dict[str, int | None] = {}
        size = 1
        for key_event in events:
            if isinstance(key_event, yaml.MappingEndEvent):
                break
            key = self.node(key_event, events, depth + 1)
            spelled = key_event.value if key.broken and isinstance(key_event, yaml.ScalarEvent) else key.value
            self.path.append(spelled if isinstance(spelled, str) else "?")
            fits = not self.key_is_wrong(key, key_event, keys)
            value = self.node(next(events), events, depth + 1)
            self.path.pop()
            size += 1 + value.size
            if fits:
                values[key.value], keys[key.value] = value, key.line
        broken = self.tag_is_wrong(event, "map", line)
        return Node(values, line, column, keys, size, broken)

    def key_is_wrong(self, key: Node, event: Any, seen: dict[str, int | None]) -> bool:
        if key.broken:
            return True
        if not isinstance(key.value, str):
            self.report(key.line, f"{describe(key.value)} as a key", 'keys are strings: put it in quotes, like "1"')
        elif key.value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            self.report(key.line, "YAML 1.2 knows no merge key", "write the fields out, or alias the whole value")
        elif key.value in seen:
            self.report(
                key.line, f"`{printable(key.value)}` stands twice, first in line {seen[key.value]}", "keep one of them"
            )
        else:
            return False
        return True

    def tag_is_wrong(self, event: Any, wanted: str, line: int) -> bool:
        if event.tag in (None, "!", _TAG + wanted):
            return False
        self.report(line, f"the tag {_shown(event.tag)}", "leave it out: values are plain here")
        return True

    def scalar(self, event: Any, line: int, column: int) -> Node:
        plain = event.implicit[0] and not event.tag
        if (plain or event.tag == f"{_TAG}int") and (other := elsewhere(event.value)):
            here = "a string" if resolve(event.value)[0] == "str" else "a number"
            message = f"`{printable(event.value)}` is {here} here, and {other} to kubectl"
            self.report(line, message, "put it in quotes, or write it in another way")
            return Node(None, line, column, broken=True)
        kind, value = resolve(event.value) if plain else ("str", event.value)
        if event.tag not in (None, "!", _TAG + "str"):
            kind, value = resolve(event.value)
            if self.tag_is_wrong(event, "float" if (kind, event.tag) == ("int", _TAG + "float") else kind, line):
                return Node(None, line, column, broken=True)
        if fault := _unfit(value):
            self.report(line, *fault)
            return Node(None, line, column, broken=True)
        return Node(value, line, column)


def resolve(text: str) -> tuple[str, Any]:
    """Return the kind (`null`, `bool`, `int`, `float`, `str`) and value of a plain scalar, by YAML 1.2's core schema."""
    for kind, pattern, value in _SCALARS:
        if pattern.fullmatch(text):
            return kind, value(text)
    return "str", text


def elsewhere(text: str) -> str | None:
    """Say what kubectl would take a plain scalar for, if that is not what it is here.

    >>> elsewhere("yes"), elsewhere("017"), elsewhere("1:30")
    ('true or false', 'another number', None)
    """
    return next((what for what, pattern in _ELSEWHERE if pattern.fullmatch(text)), None)


def describe(value: object) -> str:
    """Say what a value is, for a sentence that begins with "found".

    >>> describe(30), describe("30"), describe(None), describe([])
    ('the number 30', 'the string "30"', 'nothing', 'a list')
    """
    match value:
        case None:
            found = "nothing"
        case bool():
            found = str(value).lower()
        case int() if abs(value) >= 2**63:
            found = "a number of more than 63 bits"
        case int() | float():
            found = f"the number {value}"
        case str():
            found = f'the string "{printable(value)}"'
        case _:
            found = (
                "a list"
                if isinstance(value, list)
                else "a mapping"
                if isinstance(value, dict)
                else f"a {type(value).__name__}"
            )
    return found


def _unfit(value: object) -> tuple[str, str] | None:
    """Say why a scalar can't be carried in JSON, if it can't."""
    match value:
        case int() if abs(value) >= 2**63:
            return "a number of more than 63 bits", "put it in quotes if it is meant as text"
        case float() if not -float("inf") < value < float("inf"):
            return "a number that is not finite", "write a finite number"
        case str() if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            return "half a character (a lone surrogate)", "write the whole character"
    return None


def _shown(tag: str) -> str:
    return "`" + printable(tag.replace(_TAG, "!!", 1)) + "`"
