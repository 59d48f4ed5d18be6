"""Documents that went wrong: good ones, changed here and there by a seeded hand. Most are invalid, some are good still."""

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aftershock.faults.registry import FAULTS
from aftershock.model.load import load
from aftershock.model.metadata import KEPT_BY_SERVER

Tree = dict[str, Any]
Way = tuple[str | int, ...]
ROOT = Path(__file__).parent.parent
GOOD = sorted(
    [
        *(ROOT / "tests" / "corpus" / "good").glob("*.yaml"),
        *(ROOT / "experiments").glob("*.yaml"),
        *ROOT.glob("charts/era-stack/eras/*.yaml"),
    ]
)
TEXTS = [
    "", " ", "a", "A", "a.b", "-a", "a" * 41, "a" * 64, "a" * 300, "é", "\u0000", "\n", "a\n", "0", "true", "null",
    "{{ .Values }}",
    "$(id)", "`id`", "; rm -rf /", "../../etc/passwd", "${HOME}", "0s", "1s", "1ms", "0.1ms", "0.0001ms", "9999d",
    "10000d",
    "1d24h", "1.5h", "90m", "1m90s", "-1s", "1e3s", "99%", "100%", "101%", "0%", "0.000000000001%", "100.0%", "50/s",
    "0/s", "1/d",
    "10k", "http://x", "http://127.0.0.1:65535/", "http://127.0.0.1:65536/", "http://a:b@c/", "http://x/é",
    "ftp://x", "unix:///x",
    "unix:x", "127.0.0.1:1", "127.0.0.1:0", "[::1]:5432", "primary", "replica", "fault", "recovery", "load",
    "latency", "Schedule",
    "Manual", "HEAD", "derived", "stated", "production", "* * * * *", "* * * *", "99 99 * * *", "Etc/UTC",
    "Mars/Olympus Mons",
]  # fmt: skip
VALUES: list[Any] = [
    *TEXTS, None, True, False, 0, 1, -1, 99, 100, 599, 600, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 0.5,
    1.0, -0.0, 1e300,
    [], {}, [[]], [{}], {"": ""}, {"a": None}, [None], [1, 1], ["a", "a"], {"env": "A"}, {"a": {"b": {"c": [1]}}},
]  # fmt: skip
KEYS = [
    "", "a", "spec", "status", "name", "for", "with", "at", "target", "env", "file", "proxy", "of", "below",
    "__for__", "$ref",
    "x-kubernetes-preserve-unknown-fields", "schedule", "represents", "headers", "Authorization", "selector",
    "nodes"]  # fmt: skip


def good_documents() -> list[Tree]:
    """Return every good document that there is."""
    return [document.tree for path in GOOD for document in load(path, FAULTS).sound()]


def fuzzed(seed: int, count: int) -> Iterator[tuple[str, Tree]]:
    """Yield so many changed documents, each with a name by which `one` makes it again."""
    good = good_documents()
    for number in range(count):
        yield f"{seed}.{number}", _changed(random.Random(f"{seed}.{number}"), good)


def one(name: str) -> Tree:
    """Return the changed document of a name."""
    return _changed(random.Random(name), good_documents())


def _changed(rng: random.Random, good: list[Tree]) -> Tree:
    tree = copy.deepcopy(rng.choice(good))
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        rng.choice(CHANGES)(rng, tree, good)
    return tree


def places(tree: Any, way: Way = ()) -> Iterator[tuple[Any, str | int, Way]]:
    """Yield every value of a tree, as what holds it, and under which key."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(pairs):
        if not way and key in {"apiVersion", "kind"}:  # those are the URL's: nobody can ask for another kind's door
            continue
        if (
            way == ("metadata",) and key in KEPT_BY_SERVER
        ):  # nobody writes these: they are passed over, whatever they are
            continue
        yield tree, key, (*way, key)
        yield from places(value, (*way, key))


def _pick(rng: random.Random, tree: Tree) -> tuple[Any, Any]:
    holder, key, _ = rng.choice(list(places(tree)) or [({"x": None}, "x", ())])
    return holder, key


def _drop(rng: random.Random, tree: Tree, _: list[Tree]) -> None:
    holder, key = _pick(rng, tree)
    del holder[key]


def _set(rng: random.Random, tree: Tree, _: list[Tree]) -> None:
    holder, key = _pick(rng, tree)
    holder[key] = copy.deepcopy(rng.choice(VALUES))


def _reword(rng: random.Random, tree: Tree, _: list[Tree]) -> None:
    """Put another text where a text stands: what is of the right type gets further."""
    texts = [(holder, key) for holder, key, _ in places(tree) if isinstance(holder[key], str)]
    if texts:
        holder, key = rng.choice(texts)
        holder[key] = rng.choice(TEXTS)


def _add(rng: random.Random, tree: Tree, _: list[Tree]) -> None:
    mappings = [tree, *(holder[key] for holder, key, _ in places(tree) if isinstance(holder[key], dict))]
    rng.choice(mappings)[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))


def _repeat(rng: random.Random, tree: Tree, _: list[Tree]) -> None:
    lists = [holder[key] for holder, key, _ in places(tree) if isinstance(holder[key], list) and holder[key]]
    if lists:
        chosen = rng.choice(lists)
        chosen += [copy.deepcopy(rng.choice(chosen)) for _ in range(rng.choice([1, 1, 2, 120]))]


def _graft(rng: random.Random, tree: Tree, good: list[Tree]) -> None:
    """Put a part of another document, or of this one, somewhere; half of the time under the key that it had."""
    donor, key = _pick(rng, rng.choice(good))
    part = copy.deepcopy(donor[key])
    holder, place = _pick(rng, tree)
    if isinstance(holder, dict) and isinstance(key, str) and holder is not tree and rng.random() < 0.5:
        holder[key] = part
    else:
        holder[place] = part


def _swap(rng: random.Random, tree: Tree, _: list[Tree]) -> None:
    (one, key), (other, place) = _pick(rng, tree), _pick(rng, tree)
    first, second = copy.deepcopy(one[key]), copy.deepcopy(other[place])
    other[place] = first
    if key in one if isinstance(one, dict) else key < len(one):
        one[key] = second


CHANGES: list[Callable[[random.Random, Tree, list[Tree]], None]] = [
    _drop,
    _set,
    _reword,
    _reword,
    _add,
    _repeat,
    _graft,
    _swap,
]
