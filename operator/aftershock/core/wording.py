"""Numbers as an engineer reads them: `43 min 12 s`, `99.5%`, `1 of 100`. Used by every statement and finding."""

from collections.abc import Iterable

from aftershock.core.verdict import Interval

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration(2592), duration(1.44), duration(0.35), duration(0), duration(86400)
    ('43 min 12 s', '1.4 s', '350 ms', '0 s', '1 d')
    """
    if seconds < 0.0005:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds) if seconds < 86400 else round(seconds / 60) * 60
    parts: list[str] = []
    for size, name in _UNITS:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
    return " ".join(part for part in parts[:2] if part)


def share(value: float) -> str:
    """Return a share as a percentage that doesn't claim to be whole when it isn't.

    >>> share(0.995), share(1.0), share(0.99999), share(0.0), share(0.37)
    ('99.5%', '100%', '99.999%', '0%', '37%')
    """
    for digits in (0, 1, 2, 3, 4):
        text = f"{value * 100:.{digits}f}"
        if abs(float(text) - value * 100) < 0.05 * min(value * 100, 100 - value * 100) + 1e-9:
            return text + "%"
    return f"{value * 100:.5g}%"


def between(low: float, high: float) -> str:
    """Return an interval of durations as `a to b`, or one value where both read the same."""
    first, last = duration(low), duration(high)
    return first if first == last else f"{first} to {last}"


def span(interval: Interval) -> str:
    """Return an interval of durations in words."""
    return between(interval.low, interval.high)


def counted(number: float, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> counted(1, "write"), counted(1221, "write")
    ('1 write', '1,221 writes')
    """
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def authority(host: str, port: int | str) -> str:
    """Return host and port as URLs have them.

    >>> authority("10.0.0.1", 80), authority("fd00::1", 80)
    ('10.0.0.1:80', '[fd00::1]:80')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listed(names: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last


def sentence(text: str) -> str:
    """Return a text that begins as a sentence does."""
    return text[:1].upper() + text[1:]
