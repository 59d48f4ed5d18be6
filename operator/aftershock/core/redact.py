"""Secrets never reach a journal or a report.

Two nets, since each has holes: values that this process read as secrets are replaced wherever they stand; and places
that usually hold secrets (authorization headers, passwords in URLs, `token=` in queries) are blanked by their shape.
"""

import re
from collections.abc import Iterable
from typing import Any

MARK = "[redacted]"
SHORTEST = 4
"""Values shorter than this are left to the second net: replacing every "a" would ruin the text and hide nothing."""

NAMES = {
    *(
        "apiVersion",
        "kind",
        "name",
        "era",
        "eras",
        "judgeBy",
        "stack",
        "environment",
        "role",
        "fault",
        "target",
        "indicator",
    ),
    *("proxy", "toxiproxy", "engine", "type", "phase", "reason", "when", "run", "lease", "from", "to"),
}
"""Fields that hold names, which everybody may read, and by which a record is judged and its leases are found. A password that
is the same word (`test`, `aftershock`) must not blank them.
"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]{0,252}")
_TELLING = re.compile(
    r"(authorization|(?<![a-z])auth(?![a-z])|cookie|password|passwd|passphrase|secret|token|(api|access|private)[-_]?key"
    r"|signature|credential)",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'\\]+(?=@)")
_SCHEME = re.compile(r"\b((?:bearer|basic)\s+)(?=\S+(?-i:[0-9A-Z_=+/]))[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE)
_KEYWORD = re.compile(
    r"((?:(?:password|passwd|pwd|passphrase|secret|token|(?:api|access|private)[-_]?key|signature)[\"']?|(?<=[?&])(?:key|sig|auth))"
    r"\s*[=:]\s*)(?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|[^\s&;,'\"]+)",
    re.IGNORECASE,
)


class Redactor:
    """Removes known values and telling places from texts and trees."""

    def __init__(self, values: Iterable[str]) -> None:
        known = sorted({value for value in values if len(value) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """Return the text without secrets.

        >>> Redactor(["hunter22"]).text("postgresql://app:pw@db/x says hunter22, password=abc")
        'postgresql://[redacted]@db/x says [redacted], password=[redacted]'
        """
        if self._known is not None:
            text = self._known.sub(MARK, text)
        for telling in (_SCHEME, _KEYWORD):
            text = telling.sub(rf"\1{MARK}", text)
        return _USERINFO.sub(MARK, text)

    def tree(self, tree: Any) -> Any:
        """Return a copy of a plain tree, every text in it without secrets; what stands in a field for names stays."""
        match tree:
            case str():
                return self.text(tree)
            case dict():
                return {key: value if _names(key, value) else self.tree(value) for key, value in tree.items()}
            case list() | tuple():
                return [self.tree(item) for item in tree]
            case _:
                return tree

    def document(self, tree: Any) -> Any:
        """Do the same for what a user wrote: texts under telling names are blanked too.

        References to secrets (`env`, `file`, `secretRef`) stay: they are no texts but say where one lies.

        >>> Redactor([]).document({"headers": {"Authorization": "Bearer x"}, "dsn": {"env": "DSN"}})
        {'headers': {'Authorization': '[redacted]'}, 'dsn': {'env': 'DSN'}}
        """
        match tree:
            case dict():
                return {key: self._field(str(key), value) for key, value in tree.items()}
            case list() | tuple():
                return [self.document(item) for item in tree]
            case _:
                return self.tree(tree)

    def _field(self, key: str, value: Any) -> Any:
        if _names(key, value):
            return value
        telling = isinstance(value, str) and _TELLING.search(key) is not None
        return MARK if telling else self.document(value)


def _names(key: object, value: Any) -> bool:
    """Tell whether a field holds nothing but names."""
    words = value if isinstance(value, list) else [value]
    return key in NAMES and all(isinstance(word, str) and _NAME.fullmatch(word) for word in words)
