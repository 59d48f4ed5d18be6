"""HTTP answers: however the bytes are cut, the same is read; whatever they are, nothing is raised."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.probes.answer import HEAD_LIMIT, INTERIM_LIMIT, LINE_LIMIT, Answer

ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "no reason": (b"HTTP/1.1 503\r\ncontent-length: 0\r\n\r\n", 503, b""),
    "empty reason": (b"HTTP/1.1 503 \r\nCONTENT-LENGTH: 0\r\n\r\n", 503, b""),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", 200, b"hello world",
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n", 200, b"0123456789",
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nL: x\r\n\r\nHTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\n1", 201, b"1",
    ),
    "204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
    "folded": (b"HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "length twice, the same": (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "coding beats length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok",
    ),
}  # fmt: skip

BROKEN: dict[str, bytes] = {
    "banner": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another protocol's version": b"HTTP/2.0 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "header without a name": b"HTTP/1.1 200 OK\r\n: 5\r\n\r\n",
    "header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "endless length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
    "length over the limit": b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunk longer than it said": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "chunks over the limit": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n33\r\n",
    "body over the limit": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "interim answers for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_LIMIT + 1),
    "head too large": b"HTTP/1.1 200 OK\r\nX: " + b"x" * HEAD_LIMIT + b"\r\n\r\n",
    "chunk line too long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * LINE_LIMIT + b"\r\n",
    "trailers too long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    + b"X: y\r\n" * (HEAD_LIMIT // 6 + 1),
}


def read(pieces: list[bytes], *, ends: bool = False) -> Answer:
    answer = Answer(limit=100)
    for piece in pieces:
        if answer.feed(piece):
            return answer
    if ends:
        answer.close()
    return answer


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


def told(answer: Answer) -> tuple[bool, str | None, int, bytes]:
    if answer.problem:
        return True, answer.problem, 0, b""
    return answer.complete, None, answer.status if answer.complete else 0, answer.body if answer.complete else b""


@pytest.mark.parametrize(("data", "status", "body"), ANSWERS.values(), ids=ANSWERS)
def test_whole_answer_is_read(data: bytes, status: int, body: bytes) -> None:
    answer = read([data])
    assert told(answer) == (True, None, status, body)
    for end in range(len(data)):
        assert not read([data[:end]]).complete, f"complete after {data[:end]!r}"


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_malformed_answer_has_a_problem(data: bytes) -> None:
    answer = read([data])
    assert answer.complete
    assert answer.problem
    assert not answer.reusable


@settings(deadline=None)
@given(
    st.sampled_from(sorted({**{n: a[0] for n, a in ANSWERS.items()}, **BROKEN})),
    st.lists(st.integers(0, 1 << 20), max_size=30),
)
def test_cuts_make_no_difference(name: str, places: list[int]) -> None:
    data = ANSWERS[name][0] if name in ANSWERS else BROKEN[name]
    assert told(read(cut(data, places))) == told(read([data]))


_WORDS = st.sampled_from(
    [b"HTTP/1.1 ", b"HTTP/1.0 ", b"200", b" OK", b"100", b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"5",
     b"Transfer-Encoding: ", b"chunked", b",", b" ", b"\t", b"0", b";", b"Connection: close", b"\n", b"\r", b":", b"hello"]
)  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(_WORDS | st.binary(max_size=8), max_size=30), st.lists(st.integers(0, 1 << 16), max_size=10), st.booleans()
)
def test_garbage_never_raises(words: list[bytes], places: list[int], ends: bool) -> None:
    data = b"".join(words)
    assert told(read(cut(data, places), ends=ends)) == told(read([data], ends=ends))


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 1 << 16), max_size=10))
def test_garbage_after_a_head_never_raises(data: bytes, places: list[int]) -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data
    assert told(read(cut(data, places))) == told(read([data]))


def test_body_may_end_with_the_stream() -> None:
    answer = read([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"])
    assert not answer.complete
    assert answer.close()
    assert (answer.body, answer.reusable) == (b"hello", False)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ANSWERS["chunked"][0][:-2]])
def test_half_an_answer_is_none(data: bytes) -> None:
    answer = read([data] if data else [])
    assert not answer.close()


def test_head_has_no_body() -> None:
    answer = Answer(head_only=True)
    assert answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    assert answer.reusable


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nextra", False),
        (ANSWERS["coding beats length"][0], False),
    ],
)
def test_connection_is_reused_only_when_that_is_safe(data: bytes, reusable: bool) -> None:
    assert read([data]).reusable is reusable


def test_body_that_nobody_wants_is_not_kept() -> None:
    answer = Answer(keep=False)
    assert answer.feed(ANSWERS["chunked"][0])
    assert answer.body == b""
