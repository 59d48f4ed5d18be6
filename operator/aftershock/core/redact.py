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

_TELLING = re.compile(r"(authorization|cookie|password|passwd|secret|token|api[-_]?key|credential)", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)")
_KEYWORD = re.compile(
    r"((?:password|passwd|secret|token|api[-_]?key)\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)", re.IGNORECASE
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
        return _KEYWORD.sub(rf"\1{MARK}", _USERINFO.sub(MARK, text))

    def tree(self, tree: Any) -> Any:
        """Return a copy of a plain tree, every text in it without secrets."""
        match tree:
            case str():
                return self.text(tree)
            case dict():
                return {key: self.tree(value) for key, value in tree.items()}
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
        telling = isinstance(value, str) and _TELLING.search(key) is not None
        return MARK if telling else self.document(value)
