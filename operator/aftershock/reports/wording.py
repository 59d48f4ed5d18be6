"""How numbers, spans and instants read in every report: the judge's own words, and what only reports print.

Pure text: nothing here knows of a journal, of HTML or of a terminal.
"""

from datetime import UTC, datetime

from aftershock.core.verdict import Interval
from aftershock.core.wording import counted, duration, listed, share

__all__ = [
    "against", "amount", "counted", "duration", "instant", "interval", "latency", "listed", "measure", "moment",
    "one_line", "printable", "share", "shares",
]  # fmt: skip

_SPOOFS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def printable(text: str) -> str:
    r"""Return `text` with every control and direction-changing character as a visible mark; line ends and tabs stay.

    A name may hold an escape sequence that would repaint a terminal, or an override that would turn a sentence round.

    >>> printable("a\x1b[31mb")
    'a\ufffd[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if _unsafe(character) else character for character in text)


def _unsafe(character: str) -> bool:
    code = ord(character)
    if character in "\n\t":
        return False
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code >= 0xFFFE or character in _SPOOFS


def one_line(text: str) -> str:
    """Return `text` printable and on one line."""
    return " ".join(printable(text).split())


def latency(seconds: float) -> str:
    """Return a latency: tenths of a millisecond matter below ten of them.

    >>> latency(0.0042), latency(0.35), latency(1.44), latency(0.00002)
    ('4.2 ms', '350 ms', '1.4 s', '<0.1 ms')
    """
    if not 0 < seconds < 0.00995:
        return duration(seconds)
    return f"{_trim(seconds * 1000, 1)} ms" if seconds >= 0.00005 else "<0.1 ms"


def _trim(number: float, decimals: int) -> str:
    """Return a number with at most `decimals`, without zeros that say nothing."""
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval(between: Interval | None, nothing: str = "unknown") -> str:
    """Return an interval of seconds; both ends in one unit where they share it, and told apart where they differ.

    >>> interval(Interval(4.2, 4.4)), interval(Interval(0.87, 1.2)), interval(Interval(30.07, 30.12)), interval(None)
    ('4.2 to 4.4 s', '870 ms to 1.2 s', '30.07 to 30.12 s', 'unknown')
    """
    if between is None:
        return nothing
    low, high = _apart(between)
    if low == high:
        return low
    if low == "0 s":
        return f"0 to {high}"
    first, _, unit = low.rpartition(" ")
    return f"{first} to {high}" if " " not in first and high.split(" ")[1:] == [unit] else f"{low} to {high}"


def _apart(between: Interval) -> tuple[str, str]:
    """Return both ends with as many decimals as it takes to tell them apart, three at most; over a minute none."""
    low, high = duration(between.low), duration(between.high)
    if low != high or between.low == between.high or between.high >= 60:
        return low, high
    unit, scale = ("s", 1.0) if between.high >= 1 else ("ms", 1000.0)
    for decimals in (1, 2, 3):
        low, high = (f"{_trim(end * scale, decimals)} {unit}" for end in (between.low, between.high))
        if low != high:
            break
    return low, high


def shares(between: Interval) -> str:
    """Return an interval of shares.

    >>> shares(Interval(0.991, 0.998)), shares(Interval(1.0, 1.0))
    ('99.1 to 99.8%', '100%')
    """
    low, high = share(between.low), share(between.high)
    return low if low == high else f"{low.removesuffix('%')} to {high}"


def measure(between: Interval, unit: str | None) -> str:
    """Return an interval in the unit of a claim: `s`, `share`, or a bare number."""
    if unit == "s":
        return interval(between)
    if unit == "share":
        return shares(between)
    low, high = _trim(between.low, 3), _trim(between.high, 3)
    return low if low == high else f"{low} to {high}"


def amount(value: float, unit: str | None) -> str:
    """Return one number in the unit of a claim."""
    return measure(Interval(value, value), unit)


def against(measured: Interval, allowed: float, unit: str | None) -> str:
    """Return what was measured and what is allowed; where rounding would make them look alike, say which is more.

    >>> against(Interval(1800, 1801), 12960, "s"), against(Interval(2592.3, 2592.3), 2592, "s")
    ('30 min to 30 min 1 s of 3 h 36 min', 'just over 43 min 12 s of 43 min 12 s')
    """
    found, limit = measure(measured, unit), amount(allowed, unit)
    if found == limit and measured.low > allowed:
        found = f"just over {found}"
    if found == limit and measured.high < allowed:
        found = f"just under {found}"
    return f"{found} against {limit}" if unit == "share" else f"{found} of {limit}"


def instant(seconds: float) -> str:
    """Return run seconds as a position on the timeline: to a tenth of a second, in minutes from the first one on.

    >>> instant(12.04), instant(0), instant(95.25), instant(3725.5)
    ('12.0 s', '0.0 s', '1:35.2', '1:02:05.5')
    """
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    if abs(whole) < 60:
        return f"{tenths / 10:.1f} s"
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{second:02d}.{tenth}"


def moment(epoch: float) -> str:
    """Return seconds since the epoch as a date and time of day, UTC.

    >>> moment(1790000000)
    '2026-09-21 14:13:20 UTC'
    """
    try:
        return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{epoch:.0f} s since the epoch"
