"""Looks for acknowledged writes where they should be: in one list, or one by one.

What is absent is looked for again `LAG` later. An oracle that can't be reached is asked again until nothing has come for
`PATIENCE`; then nothing is known, and why is said. A list is believed to be complete: a server that gives out pages
should be asked by id (`{id}` in the URL).
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from aftershock.probes.answer import Answer
from aftershock.probes.connection import Channel, Outcome
from aftershock.probes.http import Peers, why
from aftershock.probes.request import head, parse_url, whole
from aftershock.probes.schedule import SECOND

LAG = 1 * SECOND
PATIENCE = 30 * SECOND
AGAIN = SECOND // 4
"""Nanoseconds between two attempts."""

ATTEMPT = 10 * SECOND
"""Nanoseconds that one answer may take."""

LIST_LIMIT = 256 * 1024 * 1024
ABREAST = 16
"""How many ids are asked for at the same time."""


class Absent(NamedTuple):
    """What was not there, and how it was looked for."""

    ids: frozenset[str]
    saw: str


Tell = Callable[[Absent | str], None]


class _Question:
    """One GET. `id` is empty when it asks for the list; `open` until it is answered or given up."""

    __slots__ = ("id", "line", "open")

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.line: Any = None
        self.open = True


def listed(body: bytes) -> set[str] | None:
    """Return the ids in a JSON list of ids, or of objects with an `id`; or in the one such list of an object."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(tree, dict):
        found = [ids for value in tree.values() if (ids := _ids(value)) is not None]
        return found[0] if len(found) == 1 else None
    return _ids(tree)


def _ids(tree: object) -> set[str] | None:
    if not isinstance(tree, list):
        return None
    ids = [item.get("id") if isinstance(item, dict) else item for item in tree]
    return {str(id_) for id_ in ids} if all(isinstance(id_, (str, int)) for id_ in ids) else None


class ReadBack:
    """Reads one ledger back. `prefix` is what its ids begin with; a list is asked for those alone."""

    def __init__(self, url: str, headers: Mapping[str, str], peers: Peers, prefix: str) -> None:
        self._each = "{id}" in url
        self._url = url if self._each or "?" in url else f"{url}?prefix={quote(prefix)}"
        self._headers = headers
        peer = peers(parse_url(url.replace("{id}", "0")))
        self._loop = peer.loop
        self._channel = Channel(peer, self._heard, keep=not self._each, limit=LIST_LIMIT)
        self._missing: set[str] = set()
        self._todo: deque[str] = deque()
        self._round = 1
        self._asked = 0
        self._progress = 0
        self._trouble = "it was not asked"
        self._tell: Tell | None = None

    def start(self, ids: set[str], tell: Tell) -> None:
        """Look for `ids`; `tell` hears what is absent, or why nothing is known. Once, later."""
        self._missing = ids
        self._tell = tell
        self._progress = self._loop.now()
        if ids:
            self._look()
        else:
            self._end(Absent(frozenset(), "nothing was acknowledged"))

    def _look(self) -> None:
        """Begin a round."""
        self._todo = deque(sorted(self._missing) if self._each else [""])
        self._asked = 0
        for _ in range(ABREAST):
            self._ask_next()

    def _ask_next(self) -> None:
        if self._tell is not None and self._todo:
            self._asked += 1
            self._ask(self._todo.popleft())

    def _ask(self, id_: str) -> None:
        question = _Question(id_)
        url = parse_url(self._url.replace("{id}", quote(id_, safe="")))
        self._loop.later(self._loop.now() + ATTEMPT, lambda: self._give_up(question))
        self._channel.send(question, whole(head("GET", url, self._headers), None))

    def _give_up(self, question: _Question) -> None:
        if question.open:
            question.open = False
            self._channel.abandon(question)
            self._retry(question, f"no answer within {ATTEMPT // SECOND} s")

    def _heard(self, question: _Question, kind: str | None, outcome: Outcome) -> None:
        question.open = False
        if self._tell is None:
            return
        if kind is not None or not isinstance(outcome, Answer):
            self._retry(question, why(outcome) if kind == "error" else str(kind))
        elif outcome.status == 404 and self._each:
            self._answered()
        elif outcome.status != 200:
            self._retry(question, f"it answered {outcome.status}")
        elif self._each:
            self._missing.discard(question.id)
            self._answered()
        else:
            self._read_list(question, outcome.body)

    def _read_list(self, question: _Question, body: bytes) -> None:
        ids = listed(body)
        if ids is None:
            self._retry(question, "its answer is no JSON list of ids, nor of objects with an id")
        else:
            self._missing -= ids
            self._answered()

    def _retry(self, question: _Question, trouble: str) -> None:
        """Ask the same again soon, unless patience is over."""
        if self._tell is None:
            return
        self._trouble = trouble
        now = self._loop.now()
        if now - self._progress > PATIENCE:
            self._end(f"the ledger could not be read back: {trouble}")
        else:
            self._loop.later(now + AGAIN, lambda: self._ask(question.id) if self._tell is not None else None)

    def _answered(self) -> None:
        self._progress = self._loop.now()
        self._asked -= 1
        self._ask_next()
        if self._asked == 0:
            self._finish_round()

    def _finish_round(self) -> None:
        """Everything was asked for. What is absent gets a second chance."""
        if self._missing and self._round == 1:
            self._round = 2
            self._loop.later(self._loop.now() + LAG, self._look)
        else:
            way = "one by one" if self._each else "in one list"
            self._end(Absent(frozenset(self._missing), f"read back {way}, {self._round} time(s)"))

    def _end(self, found: Absent | str) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(found)
