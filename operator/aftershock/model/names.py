r"""What names and addresses look like: a pattern each, that Python and a Kubernetes schema (RE2) read alike.

So patterns are anchored, know no look-around, spell their classes out in ASCII, and go without `\s`, `\w` and `(?…`.
"""

import re
from collections.abc import Iterator

import msgspec

from aftershock.model.bounds import LONGEST_TEXT
from aftershock.model.problem import printable

Complaint = tuple[str, str]
"""What was found, and what would do."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_URL = f"https?://{_HOST}(:{_PORT})?([/?#][!-~]*)?"
_VALUE = r"(\*|[0-9]+|[A-Za-z]{3})"
_CRON = f"{_VALUE}(-([0-9]+|[A-Za-z]{{3}}))?(/[0-9]+)?(,([0-9]+|[A-Za-z]{{3}})(-([0-9]+|[A-Za-z]{{3}}))?(/[0-9]+)?)*"
_BLANK = r"\t-\r "
MARK = f"[^{_BLANK}]"
"""Found in every text that has something in it."""


class Shape(msgspec.Struct, frozen=True):
    """How a text has to look. Called with a text it yields what is wrong with it, and what would do; nothing if it is fine.

    `wrong` says what was found, with `{}` for the text. `hints` know better for some that don't fit: a pattern for their
    beginning, what was found, what would do.
    """

    pattern: str
    longest: int
    wrong: str
    advice: str
    hints: tuple[tuple[str, str, str], ...] = ()

    def __call__(self, text: str) -> Iterator[Complaint]:
        """Yield what is wrong with a text."""
        if len(text) <= self.longest and re.fullmatch(self.pattern, text):
            return
        for pattern, found, advice in self.hints:
            if re.match(pattern, text):
                yield found.format(f"`{printable(text)}`"), advice
                return
        yield self.wrong.format(f"`{printable(text)}`"), self.advice

    def schema(self) -> dict[str, object]:
        """Return the same as keywords of a schema."""
        return {"pattern": self.pattern, "maxLength": self.longest}


label = Shape(
    f"^{_LABEL}$", 63, "{} is no name", "use a-z, 0-9 and `-`, at most 63 characters, a letter or digit at both ends"
)
"""A name that has to fit into one part of a host name (RFC 1123): what stands in lists of a document."""

name = Shape(
    f"^{_NAME}$",
    253,
    "{} is no name of a Kubernetes object",
    "use a-z, 0-9, `-` and `.`, at most 253 characters, a letter or digit at both ends",
)
"""The name of a Kubernetes object: an RFC 1123 subdomain."""

service = Shape(
    "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    63,
    "{} is no name of a Service",
    "use a-z, 0-9 and `-`, at most 63 characters, a letter first",
    ((".*\\.", "{} is no name of a Service", "write its name alone: it is looked for in the Stack's own namespace"),),
)
"""The name of a Kubernetes Service (RFC 1035)."""

LABEL_KEY = f"^({_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
LONGEST_PREFIX = 253


def label_key(text: str) -> Iterator[Complaint]:
    """The key of a Kubernetes label or annotation, with or without a prefix."""
    if not re.fullmatch(LABEL_KEY, text) or text.find("/") > LONGEST_PREFIX:
        advice = "use letters, digits, `-`, `_` and `.`, at most 63 characters, after `prefix/` if you like"
        yield f"`{printable(text)}` is no key of a label", advice


label_value = Shape(
    f"^({_QUALIFIED})?$",
    63,
    "{} is no value of a label",
    "use letters, digits, `-`, `_` and `.`, at most 63 characters, or nothing",
)
"""The value of a Kubernetes label; it may be empty."""

variable = Shape(
    "^[A-Za-z_][A-Za-z0-9_]*$",
    1000,
    "{} is no name of an environment variable",
    "use letters, digits and `_`, like PRIMARY_DSN",
)
"""The name of an environment variable."""

secret_key = Shape("^[-._a-zA-Z0-9]+$", 253, "{} is no key of a Secret", "use letters, digits, `-`, `_` and `.`")
"""A key within a Kubernetes Secret."""

url = Shape(
    f"^{_URL}$",
    2048,
    "{} is no http or https URL",
    "write it like `http://127.0.0.1:8080/meetings`",
    (
        (
            "https?://[^/?#]*@",
            "a name or password within the URL",
            "leave it out here; `auth:` names where a secret comes from",
        ),
        (
            f"https?://{_HOST}(:{_PORT})?[/?#].*[^!-~]",
            "a character in the URL that none can have",
            "write blanks and letters beyond ASCII as `%20` and the like",
        ),
    ),
)
"""An address that is asked over HTTP. Whoever could read the journal would read a password in it, so none may be in it."""

manager_url = Shape(
    f"^http://{_HOST}:{_PORT}/?$", 2048, "{} is no address of a manager", "write it like `http://10.0.0.11:8008`"
)
"""Where what manages a database's server answers: over plain HTTP, and by its own paths."""

address = Shape(f"^{_HOST}:{_PORT}$", 259, "{} is no host and port", "write it like `127.0.0.1:5432`")
"""A host and a port."""

host = Shape(
    f"^{_NAME}$",
    253,
    "{} is no host name",
    "use a-z, 0-9, `-` and `.`, at most 253 characters, like `meetings.example`",
)
"""The name of a host (RFC 1123), in lower case."""

ip_address = Shape(
    r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*(:[0-9]{1,3}(\.[0-9]{1,3}){3})?)$",
    45,
    "{} is no IP address",
    "write it like `127.0.0.1` or `2001:db8::1`",
)
"""An address of IPv4 or IPv6."""

supervisor_url = Shape(
    f"^(unix:///.+|{_URL})$",
    2048,
    "{} is no address of a supervisord",
    "write it like `unix:///run/supervisor.sock` or `http://127.0.0.1:9001`",
    (("unix:", "{} is no path of a socket", "write it like `unix:///run/supervisor.sock`"),),
)
"""Where a supervisord listens: a socket of this machine, or HTTP."""

something = Shape(
    rf"^[{_BLANK}]*{MARK}(.|\n)*$",
    LONGEST_TEXT,
    "{} is longer than any text may be",
    f"write at most {LONGEST_TEXT} characters",
    ((rf"[{_BLANK}]*$", "an empty string", "write something in it"),),
)
"""Any text but none."""

called = Shape(
    rf"^[{_BLANK}]*{MARK}(.|\n)*$",
    253,
    "{} is too long a name",
    "write at most 253 characters",
    ((rf"[{_BLANK}]*$", "an empty string", "write something in it"),),
)
"""What something outside is called there: any text but none."""

HEADER = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie")


def header(text: str) -> Iterator[Complaint]:
    """The name of an HTTP header (RFC 9110, section 5.1). Secrets come through `auth:`, so that no journal has them."""
    if not re.fullmatch(HEADER, text):
        yield f"`{printable(text)}` is no name of an HTTP header", "use letters, digits and `-`"
    elif text.lower() in SECRET_HEADERS:
        yield "a secret would stand in the document", "use `auth:`, which names where the secret comes from"


header_value = Shape(
    r"^[\t\x20-\x7e]*$",
    4096,
    "a header's value with control or non-ASCII characters, or of more than 4096",
    "write it in plain ASCII, in one line",
)
"""The value of an HTTP header: printable ASCII, so that it is one line and the same bytes everywhere."""

cron = Shape(
    f"^{_CRON}( {_CRON}){{4}}$",
    200,
    "{} is no cron schedule",
    'write five fields, like "0 3 * * 1-5": minute, hour, day, month, weekday',
)
"""When something begins: minute, hour, day of the month, month, weekday. What the fields mean is croniter's to say."""

time_zone = Shape(
    "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
    64,
    "{} is no name of a time zone",
    "write it like `Etc/UTC` or `Europe/Berlin`",
)
"""The name of a time zone in the IANA database."""
