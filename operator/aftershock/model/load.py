"""Read the documents that users write: files and texts in, typed documents and every problem of them out.

`load` never raises for what it finds in a file. Callers who want an exception ask `Loaded.sound()`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any, Generic, TypeVar, cast

import msgspec

from aftershock.model.check import FaultType, Walk, locate
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.metadata import API_VERSION
from aftershock.model.problem import Invalid, Path, Problem, choose, printable, written
from aftershock.model.rules import RULES
from aftershock.model.rules.making import Rules
from aftershock.model.run import Run
from aftershock.model.stack import Stack
from aftershock.model.write import dump_yaml, to_tree
from aftershock.model.yaml12 import LARGEST, Node, describe, node_of, read

Kind = Era | Stack | Experiment | Run
KINDS: dict[str, type[Kind]] = {"Era": Era, "Stack": Stack, "Experiment": Experiment, "Run": Run}
LATER = ("Replay", "Gate")
K = TypeVar("K", bound=Kind)
Kind_co = TypeVar("Kind_co", bound=Kind, covariant=True)
Faults = Mapping[str, FaultType]


class Document(msgspec.Struct, Generic[Kind_co], frozen=True):
    """One sound document. `tree` is what stood in YAML, `sha256` the digest of the whole file in hexadecimal digits."""

    object: Kind_co
    tree: dict[str, Any]
    file: str
    sha256: str
    node: Node

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} of {self.file}>"

    @property
    def kind(self) -> str:
        """The document's kind, as in YAML."""
        return type(self.object).__name__

    @property
    def name(self) -> str:
        """The document's own name."""
        return self.object.metadata.name

    def problem(self, path: Path, message: str, advice: str) -> Problem:
        """Say that something is wrong with the value at `path`."""
        return Problem(self.file, locate(self.node, path), written(path), message, advice)


class Loaded(msgspec.Struct, frozen=True):
    """A file: its sound documents, and everything that is wrong with the others.

    `experiments` are those with problems of their own, as far as they could be read (see check.py's Partial): whether
    they fit their stack can be told all the same, so that a user hears everything at once.
    """

    file: str
    documents: tuple[Document[Kind], ...]
    problems: tuple[Problem, ...]
    experiments: tuple[Document[Experiment], ...] = ()

    def sound(self) -> tuple[Document[Kind], ...]:
        """Return all documents; raise Invalid with every problem if there is one."""
        if self.problems:
            raise Invalid(self.problems)
        return self.documents


def load(path: File | str, faults: Faults | None = None) -> Loaded:
    """Read a file. With `faults`, each fault has to be one of them and its `with:` has to fit."""
    try:
        with File(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return _unread(str(path), f"can't be read: {why}", "check the path and its permissions")
    if len(content) > LARGEST:
        return _unread(str(path), f"more than {LARGEST} bytes", "write it as several files")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _unread(str(path), "not UTF-8 text", "save the file as UTF-8", line)
    return _loaded(text, str(path), hashlib.sha256(content).hexdigest(), faults)


def load_text(text: str, name: str, faults: Faults | None = None) -> Loaded:
    """Read a text, as `load` reads a file; `name` is what problems call it."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    if len(text) > LARGEST:
        return _unread(name, f"more than {LARGEST} characters", "write it as several files")
    return _loaded(text, name, digest, faults)


def from_tree(
    tree: Mapping[str, Any],
    kind: type[K],
    faults: Faults | None = None,
    name: str = "tree",
    rules: Rules = RULES,
) -> K:
    """Return a plain tree (JSON, or a journal's) as the document that it is; raise Invalid where it is none of that kind.

    A journal's tree was held to the rules of its day, and what was secret in it is gone: read it with `rules={}`, so that
    it can be judged again whatever rules there are by then.
    """
    document, problems = _document(node_of(dict(tree)), name, "", faults, rules)
    if document is not None and not isinstance(document.object, kind):
        problems = [document.problem(("kind",), f"found {document.kind}", f"give a {kind.__name__}")]
    if document is None or problems:
        raise Invalid(problems)
    return cast(K, document.object)


def from_object(thing: K, faults: Faults | None = None, name: str = "object") -> Document[K]:
    """Return a document that was made in Python as if it had stood in YAML; raise Invalid with all that is wrong with it."""
    tree = to_tree(thing)
    document, problems = _document(node_of(tree), name, hashlib.sha256(dump_yaml(tree).encode()).hexdigest(), faults)
    if document is None:
        raise Invalid(problems)
    return cast(Document[K], document)


def _unread(file: str, message: str, advice: str, line: int | None = None) -> Loaded:
    return Loaded(file, (), (Problem(file, line, "", message, advice),))


def _loaded(text: str, file: str, digest: str, faults: Faults | None) -> Loaded:
    nodes, problems = read(text, file)
    documents: list[Document[Kind]] = []
    unsound: list[Document[Experiment]] = []
    if not nodes and not problems:
        return _unread(file, "no document in it", f"begin one with `apiVersion: {API_VERSION}`", 1)
    for node, sound in nodes:
        document, found = _document(node, file, digest, faults)
        if document is not None and (twin := _twin(document, documents)):
            found = [document.problem(("metadata", "name"), f"{twin} stands twice in this file", "keep one of them")]
        if document is not None and sound and not found:
            documents.append(document)
        elif (partly := _experiment(node, file, digest, faults)) is not None:
            unsound.append(partly)
        problems += found
    problems.sort(key=lambda problem: problem.line or 0)
    return Loaded(file, tuple(documents), tuple(problems), tuple(unsound))


def _experiment(node: Node, file: str, digest: str, faults: Faults | None) -> Document[Experiment] | None:
    """Return as much of an experiment as can be read; None where the document is none."""
    walk = Walk(node, file, faults)
    if _kind(node, walk) is not Experiment:
        return None
    return Document(walk.typed(Experiment), {}, file, digest, node)


def _twin(document: Document[Kind], others: list[Document[Kind]]) -> str | None:
    same = any((other.kind, other.name) == (document.kind, document.name) for other in others)
    return f"{document.kind} `{document.name}`" if same else None


def _document(
    node: Node, file: str, digest: str, faults: Faults | None, rules: Rules = RULES
) -> tuple[Document[Kind] | None, list[Problem]]:
    """Return one document, or None and what is wrong with it."""
    walk = Walk(node, file, faults, rules)
    kind = _kind(node, walk)
    if kind is None:
        _version(node, walk)
        return None, walk.problems
    thing = walk.typed(kind)
    if walk.problems or not isinstance(thing, kind):
        return None, walk.problems
    return Document(thing, node.plain(), file, digest, node), []


def _version(node: Node, walk: Walk) -> None:
    """Hold a document of no known kind against what is true of them all: its problems come all at once too."""
    given = node.value.get("apiVersion") if isinstance(node.value, dict) else None
    if given is not None and not given.broken and given.value != API_VERSION:
        walk.report(("apiVersion",), f"found {describe(given.value)}", f"write `{API_VERSION}`")


def _kind(node: Node, walk: Walk) -> type[Kind] | None:
    """Find out which kind a document is of; None once it has been reported that it is of none."""
    if node.broken:
        return None
    if not isinstance(node.value, dict):
        walk.report((), f"expected a document, found {describe(node.value)}", f"begin with `apiVersion: {API_VERSION}`")
        return None
    given = node.value.get("kind")
    if given is None:
        walk.report(("kind",), "missing", "add it: one of " + ", ".join(f"`{kind}`" for kind in KINDS))
    elif given.broken:
        return None
    elif not isinstance(given.value, str):
        walk.report(("kind",), f"expected a string, found {describe(given.value)}", choose("", list(KINDS)))
    elif given.value in LATER:
        walk.report(("kind",), f"`{given.value}` is not yet known to this version", choose("", list(KINDS)))
    elif given.value not in KINDS:
        walk.report(("kind",), f"`{printable(given.value)}` is no known kind", choose(given.value, list(KINDS)))
    else:
        return KINDS[given.value]
    return None
