"""Request bytes: what is sent, and what is refused before anything is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.errors import InputError
from aftershock.probes.request import Place, basic, content_type, head, parse_url, whole


@pytest.mark.parametrize(
    ("text", "place", "authority", "target"),
    [
        (
            "http://127.0.0.1:8080/meetings?a=b%20c#x",
            Place(False, "127.0.0.1", 8080),
            "127.0.0.1:8080",
            "/meetings?a=b%20c",
        ),
        ("http://example.org", Place(False, "example.org", 80), "example.org", "/"),
        ("https://example.org/a b", Place(True, "example.org", 443), "example.org", "/a%20b"),
        ("http://[::1]:81/ä", Place(False, "::1", 81), "[::1]:81", "/%C3%A4"),
        ("http://bücher.example/", Place(False, "xn--bcher-kva.example", 80), "xn--bcher-kva.example", "/"),
    ],
)
def test_url(text: str, place: Place, authority: str, target: str) -> None:
    assert parse_url(text) == (place, authority, target)


@pytest.mark.parametrize(
    "text", ["", "meetings", "ftp://x/", "http://", "http://x:99999/", "http://[::1/", "unix:///x"]
)
def test_no_url(text: str) -> None:
    with pytest.raises(InputError):
        parse_url(text)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(InputError) as raised:
        parse_url("http://me:hunter2@x/")
    assert "hunter2" not in str(raised.value)


def test_request_bytes() -> None:
    url = parse_url("http://h:81/p")
    start = head("POST", url, {"X-A": "1", "user-agent": "mine"}, new=True)
    assert whole(start, b"{}") == (
        b"POST /p HTTP/1.1\r\nHost: h:81\r\nAccept: */*\r\nX-A: 1\r\nuser-agent: mine\r\nConnection: close\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    assert whole(head("GET", url, {}), None).endswith(b"Accept: */*\r\n\r\n")


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_header_can_end_its_line(name: str, value: str) -> None:
    try:
        start = head("GET", parse_url("http://h/"), {name: value})
    except InputError:
        return
    assert start.count(b"\r") == start.count(b"\n") == start.count(b"\r\n") == len(start.split(b"\r\n")) - 1
    assert start.count(b"\r\n") == 4 + (name.lower() not in {"host", "accept", "user-agent"})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_framing_is_not_the_documents_business(name: str) -> None:
    with pytest.raises(InputError):
        head("GET", parse_url("http://h/"), {name: "1"})


def test_basic_is_as_the_standard_has_it() -> None:
    assert basic("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_content_type() -> None:
    assert content_type('{"a": 1}') == "application/json"
    assert content_type("a=1").startswith("text/plain")
