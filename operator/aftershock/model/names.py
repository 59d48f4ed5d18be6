"""What names and addresses look like. Each check yields what is wrong with a text, and what would do; nothing if it is fine."""

import re
from collections.abc import Iterator

from aftershock.model.problem import printable

Complaint = tuple[str, str]
"""What was found, and what would do."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)"
_URL = re.compile(rf"https?://{_HOST}(:(?P<port>\d{{1,5}}))?([/?#]\S*)?")
_CRON = r"(\*|[0-9]+|[A-Za-z]{3})(-([0-9]+|[A-Za-z]{3}))?(/[0-9]+)?(,([0-9]+|[A-Za-z]{3})(-([0-9]+|[A-Za-z]{3}))?(/[0-9]+)?)*"
_ADDRESS = re.compile(rf"{_HOST}:(?P<port>\d{{1,5}})")


def _fits(pattern: str, text: str, longest: int) -> bool:
    return len(text) <= longest and re.fullmatch(pattern, text, re.ASCII) is not None


def label(text: str) -> Iterator[Complaint]:
    """A name that has to fit into one part of a host name (RFC 1123): what stands in lists of a document."""
    if not _fits(_LABEL, text, 63):
        yield (
            f"`{printable(text)}` is no name",
            "use a-z, 0-9 and `-`, at most 63 characters, a letter or digit at both ends",
        )


def name(text: str) -> Iterator[Complaint]:
    """The name of a Kubernetes object: an RFC 1123 subdomain."""
    if not _fits(rf"{_LABEL}(\.{_LABEL})*", text, 253):
        advice = "use a-z, 0-9, `-` and `.`, at most 253 characters, a letter or digit at both ends"
        yield f"`{printable(text)}` is no name of a Kubernetes object", advice


def label_key(text: str) -> Iterator[Complaint]:
    """The key of a Kubernetes label or annotation, with or without a prefix."""
    prefix, slash, rest = text.rpartition("/")
    if not _fits(_QUALIFIED, rest, 63) or (slash and any(name(prefix))):
        advice = "use letters, digits, `-`, `_` and `.`, at most 63 characters, after `prefix/` if you like"
        yield f"`{printable(text)}` is no key of a label", advice


def label_value(text: str) -> Iterator[Complaint]:
    """The value of a Kubernetes label; it may be empty."""
    if text and not _fits(_QUALIFIED, text, 63):
        advice = "use letters, digits, `-`, `_` and `.`, at most 63 characters, or nothing"
        yield f"`{printable(text)}` is no value of a label", advice


def variable(text: str) -> Iterator[Complaint]:
    """The name of an environment variable."""
    if not _fits(r"[A-Za-z_][A-Za-z0-9_]*", text, 1000):
        yield (
            f"`{printable(text)}` is no name of an environment variable",
            "use letters, digits and `_`, like PRIMARY_DSN",
        )


def secret_key(text: str) -> Iterator[Complaint]:
    """A key within a Kubernetes Secret."""
    if not _fits(r"[-._a-zA-Z0-9]+", text, 253):
        yield f"`{printable(text)}` is no key of a Secret", "use letters, digits, `-`, `_` and `.`"


def url(text: str) -> Iterator[Complaint]:
    """An address that is asked over HTTP. Whoever could read the journal would read a password in it, so none may be in it."""
    match = _URL.fullmatch(text)
    if re.match(r"https?://[^/?#]*@", text):
        yield "a name or password within the URL", "leave it out here; `auth:` names where a secret comes from"
    elif not match or not _is_port(match["port"] or "80"):
        yield f"`{printable(text)}` is no http or https URL", "write it like `http://127.0.0.1:8080/meetings`"


def address(text: str) -> Iterator[Complaint]:
    """A host and a port."""
    match = _ADDRESS.fullmatch(text)
    if not match or not _is_port(match["port"]):
        yield f"`{printable(text)}` is no host and port", "write it like `127.0.0.1:5432`"


def supervisor_url(text: str) -> Iterator[Complaint]:
    """Where a supervisord listens: a socket of this machine, or HTTP."""
    if text.startswith("unix:"):
        if not re.fullmatch(r"unix:///.+", text):
            yield f"`{printable(text)}` is no path of a socket", "write it like `unix:///run/supervisor.sock`"
    elif any(url(text)):
        yield (
            f"`{printable(text)}` is no address of a supervisord",
            ("write it like `unix:///run/supervisor.sock` or `http://127.0.0.1:9001`"),
        )


def something(text: str) -> Iterator[Complaint]:
    """Any text but none."""
    if not text.strip():
        yield "an empty string", "write something in it"


def header(text: str) -> Iterator[Complaint]:
    """The name of an HTTP header (RFC 9110, section 5.1). Secrets come through `auth:`, so that no journal has them."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
        yield f"`{printable(text)}` is no name of an HTTP header", "use letters, digits and `-`"
    elif text.lower() in ("authorization", "proxy-authorization", "cookie"):
        yield "a secret would stand in the document", "use `auth:`, which names where the secret comes from"


def header_value(text: str) -> Iterator[Complaint]:
    """The value of an HTTP header: printable ASCII, so that it is one line and the same bytes everywhere."""
    if not re.fullmatch(r"[\t\x20-\x7e]*", text):
        yield "a header's value with control or non-ASCII characters", "write it in plain ASCII, in one line"


def cron(text: str) -> Iterator[Complaint]:
    """When something begins: minute, hour, day of the month, month, weekday. What the fields mean is croniter's to say."""
    if not re.fullmatch(rf"{_CRON}( {_CRON}){{4}}", text, re.ASCII):
        advice = 'write five fields, like "0 3 * * 1-5": minute, hour, day, month, weekday'
        yield f"`{printable(text)}` is no cron schedule", advice


def time_zone(text: str) -> Iterator[Complaint]:
    """The name of a time zone in the IANA database."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", text, re.ASCII) or len(text) > 64:
        yield f"`{printable(text)}` is no name of a time zone", "write it like `Etc/UTC` or `Europe/Berlin`"


def _is_port(digits: str) -> bool:
    return 1 <= int(digits) <= 65535
