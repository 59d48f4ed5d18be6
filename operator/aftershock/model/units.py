"""Durations, percentages, rates and quantities: strings in YAML, numbers in here.

Each is a float that knows how it is written. `parse` takes the text, `str()` gives it back in its shortest form, which
parses to the same float. Both go through exact decimals, so that `99.5%` is the float nearest to 0.995 and comes back as
`99.5%`. `pattern` is what `parse` accepts, as a regular expression that a Kubernetes schema can carry (RE2, anchored).

No text is finer than `finest`, and none so large that a float couldn't tell it from its neighbour: so the API server, which
counts in whole microseconds, and `validate`, which has floats, find the same of two texts to be the larger one. A float that
no text can have (1/3) is written as the nearest that there is.
"""

import re
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from functools import cache
from typing import ClassVar, Self

_NUMBER = r"(\d{1,15}(\.\d{1,20})?|10{15})"
"""Fifteen digits before the point: a float still knows the last of them. The largest are rounded up to 10^15."""
_EXACT = Context(prec=400)  # no float has more decimals than these calculations keep


class UnitError(ValueError):
    """The text is no value of this unit; the message says what would do."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _written(number: Decimal) -> str:
    """Return a number without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(number: Decimal) -> Iterable[Decimal]:
    """Yield a number with 1, 2, … 17 significant digits: one of them is the shortest that a float is known by."""
    return (Context(prec=digits).plus(number) for digits in range(1, 18))


class Unit(float):
    """A number that is written as a string. Subclasses say how."""

    example: ClassVar[str]
    pattern: ClassVar[str]
    finest: ClassVar[Decimal]
    """The smallest step between two values."""
    longest: ClassVar[int] = 64
    """Characters of a text, at the most; `pattern` bounds them already, but the API server can't tell from it."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the value of `text`; raise UnitError with an example if it has none."""
        if not isinstance(text, str) or not _compiled(cls.pattern).fullmatch(text):
            raise cls.refuse(text)
        return cls(cls._read(text))

    @classmethod
    def _read(cls, text: str) -> Decimal:
        """Return the exact value of a text that fits `pattern`."""
        raise NotImplementedError

    @classmethod
    def refuse(cls, text: object) -> UnitError:
        """Say what was found and what would do."""
        found = repr(text) if len(repr(text)) <= 60 else repr(text)[:57] + "…"
        return UnitError(f"{found} is not a {cls.__name__.lower()}; write it like {cls.example}")

    def _exact(self) -> Decimal:
        """Return the shortest decimal that this float is known by, no finer than a text may be."""
        exact = Decimal(float.__repr__(self))
        return _EXACT.quantize(exact, self.finest) if exact.is_finite() else exact

    def _shown(self, write: Callable[[Decimal], str]) -> str:
        exact = self._exact()
        return write(exact) if exact.is_finite() and exact >= 0 else float.__repr__(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


_DURATIONS = {"d": Decimal(86400), "h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}

_DIGITS = {"d": 4, "h": 5, "m": 6, "s": 8, "ms": 11}
"""Digits before the point, so that none of them is more than LONGEST_DAYS alone."""

LONGEST_DAYS = 10_000
"""Days, 27 years: of so many a float knows every microsecond. No pattern can bound a sum, so `parse` refuses it."""


def _duration_pattern() -> str:
    """Each alternative begins with one unit and goes on with smaller ones, so that nothing empty fits."""
    numbers = [rf"\d{{1,{digits}}}(\.\d{{1,{3 if unit == 'ms' else 6}}})?{unit}" for unit, digits in _DIGITS.items()]
    alternatives = (
        first + "".join(f"({later})?" for later in numbers[place + 1 :]) for place, first in enumerate(numbers)
    )
    return f"^({'|'.join(alternatives)})$"


class Duration(Unit):
    """Seconds. Written with units, largest first: `250ms`, `30s`, `1m30s`, `24h`, `30d`."""

    example = '"30s", "1m30s" or "250ms"'
    pattern = _duration_pattern()
    finest = Decimal("0.000001")
    longest = 80

    @classmethod
    def _read(cls, text: str) -> Decimal:
        total = Decimal(0)
        for number, unit in re.findall(r"([\d.]+)(ms|[dhms])", text):
            total = _EXACT.add(total, _EXACT.multiply(Decimal(number), _DURATIONS[unit]))
        if total >= LONGEST_DAYS * _DURATIONS["d"]:
            raise cls.refuse(text)
        return total

    def __str__(self) -> str:
        return self._shown(_duration_text)


def _duration_text(left: Decimal) -> str:
    """Write whole days, hours and minutes, and the rest in seconds; what is under a second in milliseconds."""
    if left == 0:
        return "0s"
    if left < 1:
        return _written(_EXACT.scaleb(left, 3)) + "ms"
    parts = []
    for unit in ("d", "h", "m"):
        count, left = _EXACT.divmod(left, _DURATIONS[unit])
        if count:
            parts.append(f"{_written(count)}{unit}")
    if left:
        parts.append(f"{_written(left)}s")
    return "".join(parts)


class Percentage(Unit):
    """A share, 0 to 1. Written `99.5%`; more than `100%` is none."""

    example = '"99.5%"'
    pattern = r"^(100(\.0{1,12})?|\d{1,2}(\.\d{1,12})?)%$"
    finest = Decimal("1e-14")

    @classmethod
    def _read(cls, text: str) -> Decimal:
        return _EXACT.scaleb(Decimal(text[:-1]), -2)

    def __str__(self) -> str:
        return self._shown(lambda exact: _written(_EXACT.scaleb(exact, 2)) + "%")


_RATES = {"s": 1, "m": 60, "h": 3600}


class Rate(Unit):
    """Events a second. Written `50/s`, `600/m`, `7200/h`."""

    example = '"50/s" or "600/m"'
    pattern = rf"^{_NUMBER}/(s|m|h)$"
    finest = Decimal("1e-20")

    @classmethod
    def _read(cls, text: str) -> Decimal:
        return _EXACT.divide(Decimal(text[:-2]), Decimal(_RATES[text[-1]]))

    def __str__(self) -> str:
        return self._shown(self._shortest)

    def _shortest(self, exact: Decimal) -> str:
        texts = [f"{_written(exact)}/s"]
        for unit in ("m", "h"):
            per = _EXACT.multiply(exact, Decimal(_RATES[unit]))
            candidates = (f"{_written(number)}/{unit}" for number in _rounded(per) if number.adjusted() < 15)
            texts += [text for text in candidates if self._is(text)][:1]
        return min(texts, key=len)

    def _is(self, text: str) -> bool:
        return _compiled(self.pattern).fullmatch(text) is not None and float(self._read(text)) == self


_QUANTITIES = {"": 0, "k": 3, "M": 6, "G": 9}


class Quantity(Unit):
    """A count. Written as digits, or with k, M, G (thousands): `10000`, `10k`, `300M`."""

    example = '"10000" or "10k"'
    pattern = rf"^{_NUMBER}(k|M|G)?$"
    finest = Decimal("1e-20")

    @classmethod
    def _read(cls, text: str) -> Decimal:
        digits = text.rstrip("kMG")
        return _EXACT.scaleb(Decimal(digits), _QUANTITIES[text[len(digits) :]])

    def __str__(self) -> str:
        return self._shown(_quantity_text)


def _quantity_text(exact: Decimal) -> str:
    scaled = ((_EXACT.scaleb(exact, -power), unit) for unit, power in _QUANTITIES.items())
    texts = [f"{_written(number)}{unit}" for number, unit in scaled]
    fitting = (text for text in texts if _compiled(Quantity.pattern).fullmatch(text))
    return min(fitting, key=len, default=_written(exact))
