"""Reads one HTTP/1.1 response, byte by byte if need be, and never trusts the peer (RFC 9112, sections 4 to 7).

No I/O and no clock. Whatever comes, nothing is raised: an answer that can't be one has a `problem`. How the bytes were
cut into pieces makes no difference to what is read.
"""

import re
from collections.abc import Callable

HEAD_LIMIT = 64 * 1024
"""Bytes of status line and headers, and of trailers. Servers and proxies in use allow 8 to 80 KiB."""

LINE_LIMIT = 4096
"""Bytes of a chunk's size line, extensions included."""

BODY_LIMIT = 8 * 1024 * 1024
INTERIM_LIMIT = 16
"""How many 1xx answers may come before the final one."""

_CRLF = b"\r\n"
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?(?=\r\n|\Z)")
_HEADERS = re.compile(rb"(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*)*\Z")
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*)", re.IGNORECASE)
_FOLD = re.compile(rb"\r\n[ \t]+")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_LENGTH = re.compile(rb"\d{1,18}")


class Answer:
    """One response, as far as it was read.

    `status` and `body` (empty unless `keep`) count once `feed` or `close` said True and `problem` is None. `begun`: a
    byte came. `reusable`: another request may follow on the same connection. `head`: status line and headers, once whole.
    """

    __slots__ = (
        "_buffer", "_head_only", "_interim", "_keep", "_left", "_limit", "_parts", "_size", "_step", "_trailer", "begun",
        "complete", "head", "problem", "reusable", "status",
    )  # fmt: skip

    def __init__(self, *, head_only: bool = False, keep: bool = True, limit: int = BODY_LIMIT) -> None:
        self.status = 0
        self.head = b""
        self.begun = False
        self.complete = False
        self.reusable = True
        self.problem: str | None = None
        self._head_only = head_only
        self._keep = keep
        self._limit = limit
        self._buffer = b""
        self._parts: list[bytes] = []
        self._step: Callable[[Answer], bool] = (
            Answer._head
        )  # not bound: that would be a cycle for the garbage collector
        self._left = self._size = self._interim = self._trailer = 0

    @property
    def body(self) -> bytes:
        """The body without its framing."""
        return b"".join(self._parts)

    def feed(self, data: bytes) -> bool:
        """Take what came; True when the answer is whole, or has a problem."""
        self.begun = True
        if self.complete:
            self.reusable = False
            return True
        self._buffer = self._buffer + data if self._buffer else data
        while self._step(self):
            pass
        return self.complete

    def close(self) -> bool:
        """The peer ended the stream: True when that makes the answer whole."""
        if self._step is Answer._to_close and not self.complete:
            self.reusable = False
            self.complete = True
        return self.complete

    def _fail(self, problem: str) -> bool:
        self.problem = problem
        self.reusable = False
        self.complete = True
        return False

    def _finish(self) -> bool:
        """End here; bytes beyond the end belong to no request of ours."""
        self.complete = True
        if self._buffer:
            self.reusable = False
        return False

    def _head(self) -> bool:
        buffer = self._buffer
        if not buffer.startswith(b"HTTP/1.") and not b"HTTP/1.".startswith(buffer):
            return self._fail("it is no HTTP/1.1 answer")
        end = buffer.find(b"\r\n\r\n", 0, HEAD_LIMIT)
        if end < 0:
            return self._fail(f"its head is larger than {HEAD_LIMIT} bytes") if len(buffer) >= HEAD_LIMIT else False
        self._buffer = buffer[end + 4 :]
        head = buffer[:end]
        if b"\r\n " in head or b"\r\n\t" in head:
            head = _FOLD.sub(b" ", head)
        status = _STATUS.match(head)
        if status is None or not _HEADERS.match(head, status.end()):
            return self._fail("its status line or a header is malformed")
        self.status = int(status[2])
        self.head = head
        if self.status < 200:
            return self._skip_interim()
        return self._frame(head, http_1_0=status[1] == b"0")

    def _skip_interim(self) -> bool:
        self._interim += 1
        if self.status == 101:
            return self._fail("it switches protocols, which nobody asked for")
        if self._interim > INTERIM_LIMIT:
            return self._fail(f"more than {INTERIM_LIMIT} interim answers came")
        return True

    def _frame(self, head: bytes, *, http_1_0: bool) -> bool:
        """Find out how the body's end is told: RFC 9112, section 6.3."""
        codings: list[bytes] = []
        lengths: list[bytes] = []
        connection: list[bytes] = []
        for name, value in _FRAMING.findall(head):
            kind = (lengths if name[:9].lower() == b"content-l" else connection) if name[0] in b"cC" else codings
            kind += [part.strip().lower() for part in value.split(b",")]
        self.reusable = b"close" not in connection and (not http_1_0 or b"keep-alive" in connection)
        if self._head_only or self.status in {204, 304}:
            return self._finish()
        if codings:
            return self._frame_coded(codings, doubtful=bool(lengths) or http_1_0)
        if lengths:
            return self._frame_sized(lengths)
        self._step = Answer._to_close
        return True

    def _frame_coded(self, codings: list[bytes], *, doubtful: bool) -> bool:
        """A transfer coding beats a length; both at once may be an attack, and end the connection."""
        if doubtful:
            self.reusable = False
        self._step = Answer._chunk_size if codings[-1] == b"chunked" else Answer._to_close
        return True

    def _frame_sized(self, lengths: list[bytes]) -> bool:
        if not _LENGTH.fullmatch(lengths[0]) or any(length != lengths[0] for length in lengths):
            return self._fail("its content length is no number, or two different ones")
        return self._expect(int(lengths[0]), Answer._sized)

    def _expect(self, size: int, step: "Callable[[Answer], bool]") -> bool:
        self._left = size
        self._size += size
        self._step = step
        if self._size > self._limit:
            return self._fail(f"its body is larger than {self._limit} bytes")
        return True

    def _take(self) -> None:
        """Move what belongs to the body out of the buffer."""
        part = self._buffer if len(self._buffer) <= self._left else self._buffer[: self._left]
        self._buffer = self._buffer[len(part) :]
        self._left -= len(part)
        if self._keep and part:
            self._parts.append(part)

    def _sized(self) -> bool:
        self._take()
        return self._finish() if self._left == 0 else False

    def _to_close(self) -> bool:
        self._size += len(self._buffer)
        if self._size > self._limit:
            return self._fail(f"its body is larger than {self._limit} bytes")
        if self._keep and self._buffer:
            self._parts.append(self._buffer)
        self._buffer = b""
        return False

    def _line(self, limit: int) -> bytes | None:
        """Take a line out of the buffer, without its end; None when it isn't there, or is too long."""
        end = self._buffer.find(_CRLF, 0, limit)
        if end < 0:
            if len(self._buffer) >= limit:
                self._fail("a chunk's size line or the trailers are too long")
            return None
        line = self._buffer[:end]
        self._buffer = self._buffer[end + 2 :]
        return line

    def _chunk_size(self) -> bool:
        line = self._line(LINE_LIMIT)
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if match is None:
            return self._fail("a chunk's size is no number")
        size = int(match[1], 16)
        if size == 0:
            self._step = Answer._trailers
            return True
        return self._expect(size, Answer._chunk)

    def _chunk(self) -> bool:
        self._take()
        if self._left:
            return False
        self._step = Answer._chunk_end
        return True

    def _chunk_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if not self._buffer.startswith(_CRLF):
            return self._fail("a chunk is longer than it said")
        self._buffer = self._buffer[2:]
        self._step = Answer._chunk_size
        return True

    def _trailers(self) -> bool:
        line = self._line(HEAD_LIMIT - self._trailer)
        if line is None:
            return False
        self._trailer += len(line) + 2
        return True if line else self._finish()
